/* Attributes of OTLP: which of them anything here looks at, told by length and then by one comparison, and their values.
 *
 * A span has about ten, of which two or three count; of the others the key is read and the value passed over unread.
 *
 * Source  opentelemetry-proto, common/v1/common.proto; semantic conventions for HTTP, RPC, peer services and resources;
 *         the labels of service-graph metrics are those of the OpenTelemetry Collector's servicegraph connector.
 */
#ifndef CONTROLPLANE_ATTRIBUTE_H
#define CONTROLPLANE_ATTRIBUTE_H

#include "proto.h"

#define STATUS_UNKNOWN (-1)

enum {
    KEY_OTHER,
    /* who is at the other end, the better the later */
    KEY_SERVER_ADDRESS, KEY_DB_SYSTEM, KEY_DB_SYSTEM_NAME, KEY_MESSAGING_SYSTEM, KEY_PEER_SERVICE, KEY_SERVICE_PEER_NAME,
    KEY_SERVICE_NAME, KEY_HTTP_STATUS, KEY_HTTP_STATUS_OLD, KEY_GRPC_STATUS, KEY_RPC_STATUS, KEY_ERROR_TYPE,
    KEY_CLIENT, KEY_SERVER, KEY_CONNECTION_TYPE, KEY_FAILED, KEY_VIRTUAL_NODE
};

#define KEY_IS(text, number) \
    if (memcmp(key.at, text, sizeof text - 1) == 0) return number

/* What an attribute of that name is to us. */
PROTO_INLINE int attribute_key(struct bytes key) {
    switch (bytes_length(key)) {
    case 6:
        KEY_IS("client", KEY_CLIENT);
        KEY_IS("server", KEY_SERVER);
        KEY_IS("failed", KEY_FAILED);
        return KEY_OTHER;
    case 9: KEY_IS("db.system", KEY_DB_SYSTEM); return KEY_OTHER;
    case 10: KEY_IS("error.type", KEY_ERROR_TYPE); return KEY_OTHER;
    case 12:
        KEY_IS("service.name", KEY_SERVICE_NAME);
        KEY_IS("peer.service", KEY_PEER_SERVICE);
        KEY_IS("virtual_node", KEY_VIRTUAL_NODE);
        return KEY_OTHER;
    case 14:
        KEY_IS("server.address", KEY_SERVER_ADDRESS);
        KEY_IS("db.system.name", KEY_DB_SYSTEM_NAME);
        return KEY_OTHER;
    case 15: KEY_IS("connection_type", KEY_CONNECTION_TYPE); return KEY_OTHER;
    case 16:
        KEY_IS("http.status_code", KEY_HTTP_STATUS_OLD);
        KEY_IS("messaging.system", KEY_MESSAGING_SYSTEM);
        return KEY_OTHER;
    case 17: KEY_IS("service.peer.name", KEY_SERVICE_PEER_NAME); return KEY_OTHER;
    case 20: KEY_IS("rpc.grpc.status_code", KEY_GRPC_STATUS); return KEY_OTHER;
    case 24: KEY_IS("rpc.response.status_code", KEY_RPC_STATUS); return KEY_OTHER;
    case 25: KEY_IS("http.response.status_code", KEY_HTTP_STATUS); return KEY_OTHER;
    default: return KEY_OTHER;
    }
}

/* How well an attribute names the service at the other end; 0: it does not. */
PROTO_INLINE int peer_rank(int key) { return key <= KEY_SERVICE_PEER_NAME ? key : 0; }

/* The two halves of a KeyValue. 0: read; -1: broken. */
PROTO_INLINE int key_value(struct bytes pair, struct bytes *key, struct bytes *value) {
    struct field f;
    const uint8_t *at = pair.at;
    int64_t length = bytes_length(pair);
    int got;
    if (length > 3 && at[0] == 0x0a && at[1] < 0x80 && at[1] + 4 <= length) { /* as every writer writes it */
        const uint8_t *second = at + 2 + at[1];
        if (second[0] == 0x12 && second[1] < 0x80 && second + 2 + second[1] == pair.end) {
            *key = (struct bytes){at + 2, second};
            *value = (struct bytes){second + 2, pair.end};
            return 0;
        }
    }
    *key = *value = (struct bytes){0, 0};
    while ((got = proto_next(&pair, &f)) > 0) {
        if (f.wire != PROTO_BYTES) continue;
        if (f.number == 1) *key = f.bytes;
        if (f.number == 2) *value = f.bytes;
    }
    return got;
}

static inline int decimal(struct bytes text, int64_t *number) {
    int64_t read = 0;
    const uint8_t *at = text.at;
    if (bytes_length(text) < 1 || bytes_length(text) > 4) return 0;
    while (at < text.end && *at >= '0' && *at <= '9') read = 10 * read + (*at++ - '0');
    if (at == text.end) *number = read;
    return at == text.end;
}

/* The text of an AnyValue, and its integer, truth or decimal text. 0: read; -1: broken. */
static int any_value(struct bytes value, struct bytes *text, int64_t *number) {
    struct field f;
    int got;
    *number = STATUS_UNKNOWN;
    *text = (struct bytes){0, 0};
    while ((got = proto_next(&value, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_BYTES) *text = f.bytes;
        if ((f.number == 2 || f.number == 3) && f.wire == PROTO_VARINT) *number = (int64_t)f.value;
    }
    if (got == 0 && *number == STATUS_UNKNOWN) decimal(*text, number);
    return got;
}

static inline int status_of(int64_t number) { return number >= 0 && number < 1000 ? (int)number : STATUS_UNKNOWN; }

/* HTTP: the callee's own failure, or that it is overloaded. What the caller did wrong is none of it. */
static inline int http_failed(int status) { return status >= 500 || status == 429; }

/* UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL to DATA_LOSS */
static inline int grpc_failed(int status) {
    return status == 2 || status == 4 || status == 8 || (status >= 13 && status <= 15);
}

/* A gRPC status by its name, as newer conventions write it; unknown where it is none. */
static int grpc_status(struct bytes name) {
    static const char *const names[] = {
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    };
    for (int k = 0; k < (int)(sizeof names / sizeof *names); k++)
        if (bytes_are(name, names[k])) return k;
    return STATUS_UNKNOWN;
}

#endif
