/* One span of OTLP, as far as an edge of the call graph needs it, and how many calls it stands for.
 *
 * A call has failed when its status code says so where there is one (HTTP 5xx and 429, gRPC codes that are not the
 * caller's fault), else when the span's status is an error: clients mark every 4xx as an error of theirs, which says
 * nothing about the callee.
 *
 * Source  opentelemetry-proto, trace/v1/trace.proto; semantic conventions for HTTP, RPC and peer services;
 *         tracestate `ot=th:`, the rejection threshold of consistent probability sampling.
 */
#ifndef CONTROLPLANE_SPAN_H
#define CONTROLPLANE_SPAN_H

#include "attribute.h"

enum { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };

#define SPAN_WEIGHT_MAX 1e6 /* calls that one span may stand for: a hostile tracestate must not decide alone */

struct span {
    uint8_t trace[16], id[8], parent[8];
    int has_trace, has_id, has_parent, kind, error, http, grpc, peer_rank;
    int64_t start_ns, end_ns;
    double weight;
    struct bytes peer;
};

static inline void span_begin(struct span *s) {
    memset(s, 0, sizeof *s);
    s->http = s->grpc = STATUS_UNKNOWN;
    s->weight = 1;
}

static inline int64_t span_time(uint64_t unix_ns) { return unix_ns > INT64_MAX ? INT64_MAX : (int64_t)unix_ns; }

static inline int span_failed(const struct span *s) {
    if (s->http != STATUS_UNKNOWN) return http_failed(s->http);
    if (s->grpc != STATUS_UNKNOWN) return grpc_failed(s->grpc);
    return s->error;
}

static inline int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* `th` is up to 14 hexadecimal digits, padded with zeros to 56 bits: so much of the trace ids were rejected. */
static inline double span_weight(struct bytes state) {
    const uint8_t *at = state.at, *end = state.end;
    while (at < end) {
        const uint8_t *stop = memchr(at, ',', (size_t)(end - at));
        const uint8_t *last = stop ? stop : end;
        while (at < last && *at == ' ') at++;
        if (last - at > 3 && memcmp(at, "ot=", 3) == 0) {
            for (at += 3; at < last; at++) {
                const uint8_t *semi = memchr(at, ';', (size_t)(last - at)), *close = semi ? semi : last;
                if (close - at > 3 && close - at <= 17 && memcmp(at, "th:", 3) == 0) {
                    uint64_t threshold = 0;
                    int digits = 0, digit;
                    for (at += 3; at < close; at++, digits++) {
                        if ((digit = hex_digit(*at)) < 0) return 1;
                        threshold = threshold << 4 | (uint64_t)digit;
                    }
                    threshold <<= 4 * (14 - digits);
                    double weight = 0x1p56 / (0x1p56 - (double)threshold);
                    return weight < SPAN_WEIGHT_MAX ? weight : SPAN_WEIGHT_MAX;
                }
                at = close;
            }
        }
        at = last + 1;
    }
    return 1;
}

static inline int span_attribute(struct span *s, struct bytes pair) {
    struct bytes name, value, text;
    int64_t number;
    if (key_value(pair, &name, &value) < 0) return -1;
    int key = attribute_key(name);
    if (key == KEY_OTHER) return 0;
    if (any_value(value, &text, &number) < 0) return -1;
    if (key == KEY_HTTP_STATUS || key == KEY_HTTP_STATUS_OLD) s->http = status_of(number);
    else if (key == KEY_GRPC_STATUS) s->grpc = status_of(number);
    else if (key == KEY_RPC_STATUS) s->grpc = grpc_status(text);
    else if (peer_rank(key) > s->peer_rank && bytes_length(text) > 0) {
        s->peer_rank = key;
        s->peer = text;
    }
    return 0;
}

/* An id of that length; anything else, and all zeros, is none. */
PROTO_INLINE int identity(uint8_t *out, int64_t length, struct bytes b) {
    uint64_t word, any = 0;
    if (bytes_length(b) != length) return 0;
    memcpy(out, b.at, (size_t)length);
    for (int64_t k = 0; k < length; k += 8) {
        memcpy(&word, b.at + k, 8);
        any |= word;
    }
    return any != 0;
}

static int span_status(struct span *s, struct bytes message) {
    struct field f;
    int got;
    while ((got = proto_next(&message, &f)) > 0)
        if (f.number == 3 && f.wire == PROTO_VARINT) s->error = f.value == 2;
    return got;
}

/* A field of bytes. 0: read. -1: broken. */
PROTO_INLINE int span_bytes(struct span *s, uint32_t number, struct bytes value) {
    switch (number) {
    case 1: s->has_trace = identity(s->trace, 16, value); return 0;
    case 2: s->has_id = identity(s->id, 8, value); return 0;
    case 3: s->weight = span_weight(value); return 0;
    case 4: s->has_parent = identity(s->parent, 8, value); return 0;
    case 9: return span_attribute(s, value);
    case 15: return span_status(s, value);
    default: return 0;
    }
}

/* 0: read. -1: broken. A span without ids is read, and told by `has_trace` and `has_id`. */
static int span_read(struct span *s, struct bytes message) {
    struct field f;
    struct bytes value;
    uint8_t key;
    int got;
    span_begin(s);
    for (;;) {
        while ((key = proto_short(&message, &value)))
            if (span_bytes(s, key >> 3, value) < 0) return -1;
        if ((got = proto_next(&message, &f)) <= 0) return got;
        if (f.wire == PROTO_BYTES) {
            if (span_bytes(s, f.number, f.bytes) < 0) return -1;
        }
        else if (f.number == 6 && f.wire == PROTO_VARINT) s->kind = f.value <= SPAN_CONSUMER ? (int)f.value : 0;
        else if (f.number == 7 && f.wire == PROTO_FIXED64) s->start_ns = span_time(f.value);
        else if (f.number == 8 && f.wire == PROTO_FIXED64) s->end_ns = span_time(f.value);
    }
}

#endif
