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

#include "proto.h"

enum { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };

#define SPAN_WEIGHT_MAX 1e6 /* calls that one span may stand for: a hostile tracestate must not decide alone */
#define SPAN_STATUS_UNKNOWN (-1)

struct span {
    uint8_t trace[16], id[8], parent[8];
    int has_id, has_parent, kind, error, http, grpc, peer_rank;
    int64_t start_ns, end_ns;
    double weight;
    struct bytes peer;
};

static inline void span_begin(struct span *s) {
    memset(s, 0, sizeof *s);
    s->http = s->grpc = SPAN_STATUS_UNKNOWN;
    s->weight = 1;
}

static inline int64_t span_time(uint64_t unix_ns) { return unix_ns > INT64_MAX ? INT64_MAX : (int64_t)unix_ns; }

static inline int span_failed(const struct span *s) {
    if (s->http != SPAN_STATUS_UNKNOWN) return s->http >= 500 || s->http == 429;
    if (s->grpc != SPAN_STATUS_UNKNOWN) /* UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL to DATA_LOSS */
        return s->grpc == 2 || s->grpc == 4 || s->grpc == 8 || (s->grpc >= 13 && s->grpc <= 15);
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

/* The string, integer or decimal text of an AnyValue. */
static inline int any_value(struct bytes value, struct bytes *text, int64_t *number) {
    struct field f;
    int got;
    *number = SPAN_STATUS_UNKNOWN;
    text->at = text->end = 0;
    while ((got = proto_next(&value, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_BYTES) *text = f.bytes;
        if (f.number == 3 && f.wire == PROTO_VARINT) *number = (int64_t)f.value;
    }
    if (got == 0 && text->at && *number == SPAN_STATUS_UNKNOWN && bytes_length(*text) > 0 && bytes_length(*text) < 5) {
        int64_t read = 0;
        const uint8_t *at = text->at;
        while (at < text->end && *at >= '0' && *at <= '9') read = 10 * read + (*at++ - '0');
        if (at == text->end) *number = read;
    }
    return got;
}

static inline int key_value(struct bytes pair, struct bytes *key, struct bytes *text, int64_t *number) {
    struct field f;
    struct bytes value = {0, 0};
    int got;
    key->at = key->end = 0;
    while ((got = proto_next(&pair, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_BYTES) *key = f.bytes;
        if (f.number == 2 && f.wire == PROTO_BYTES) value = f.bytes;
    }
    return got < 0 ? got : any_value(value, text, number);
}

static inline int status_of(int64_t number) {
    return number >= 0 && number < 1000 ? (int)number : SPAN_STATUS_UNKNOWN;
}

/* How well an attribute names the service at the other end; 0: it does not. */
static inline int peer_rank(struct bytes key) {
    static const char *const names[] = {
        "server.address", "db.system", "db.system.name", "messaging.system", "peer.service", "service.peer.name"
    };
    for (int k = (int)(sizeof names / sizeof *names); k > 0; k--)
        if (bytes_are(key, names[k - 1])) return k;
    return 0;
}

static inline int span_attribute(struct span *s, struct bytes pair) {
    struct bytes key, text;
    int64_t number;
    if (key_value(pair, &key, &text, &number) < 0) return -1;
    if (bytes_are(key, "http.response.status_code") || bytes_are(key, "http.status_code")) s->http = status_of(number);
    else if (bytes_are(key, "rpc.grpc.status_code")) s->grpc = status_of(number);
    else {
        int rank = peer_rank(key);
        if (rank > s->peer_rank && bytes_length(text) > 0) {
            s->peer_rank = rank;
            s->peer = text;
        }
    }
    return 0;
}

static inline int identity(uint8_t *out, int64_t length, struct bytes b, int *has) {
    int any = 0;
    if (bytes_length(b) != 0 && bytes_length(b) != length) return -1;
    for (int64_t k = 0; k < bytes_length(b); k++) any |= out[k] = b.at[k];
    *has = any != 0; /* all zeros is no id */
    return 0;
}

/* 0: read. -1: broken. */
static int span_read(struct span *s, struct bytes message) {
    struct field f, inner;
    int got, has_trace = 0, has_id = 0;
    span_begin(s);
    while ((got = proto_next(&message, &f)) > 0) {
        if (f.wire == PROTO_BYTES) switch (f.number) {
            case 1: if (identity(s->trace, 16, f.bytes, &has_trace) < 0) return -1; break;
            case 2: if (identity(s->id, 8, f.bytes, &has_id) < 0) return -1; break;
            case 3: s->weight = span_weight(f.bytes); break;
            case 4: if (identity(s->parent, 8, f.bytes, &s->has_parent) < 0) return -1; break;
            case 9: if (span_attribute(s, f.bytes) < 0) return -1; break;
            case 15:
                while ((got = proto_next(&f.bytes, &inner)) > 0)
                    if (inner.number == 3 && inner.wire == PROTO_VARINT) s->error = inner.value == 2;
                if (got < 0) return -1;
                break;
            }
        else if (f.number == 6 && f.wire == PROTO_VARINT) s->kind = f.value <= SPAN_CONSUMER ? (int)f.value : 0;
        else if (f.number == 7 && f.wire == PROTO_FIXED64) s->start_ns = span_time(f.value);
        else if (f.number == 8 && f.wire == PROTO_FIXED64) s->end_ns = span_time(f.value);
    }
    s->has_id = has_trace && has_id;
    return got;
}

#endif
