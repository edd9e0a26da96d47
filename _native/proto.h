/* Protocol Buffers' wire format, read in place: a cursor over bytes, a field at a time, nothing copied or allocated.
 *
 * Every read is checked against the end of its message, so a length that lies cannot lead out of the buffer. Groups, which
 * have been obsolete since before OTLP, are refused; unknown fields are passed over, as the format asks of readers.
 *
 * Source  https://protobuf.dev/programming-guides/encoding/
 */
#ifndef CONTROLPLANE_PROTO_H
#define CONTROLPLANE_PROTO_H

#include <stdint.h>
#include <string.h>

#define PROTO_INLINE static inline __attribute__((always_inline))

enum { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

struct bytes {
    const uint8_t *at, *end;
};

struct field {
    uint32_t number, wire;
    uint64_t value;     /* of a varint or a fixed number */
    struct bytes bytes; /* of a message, a string or bytes */
};

PROTO_INLINE int64_t bytes_length(struct bytes b) { return b.end - b.at; }

PROTO_INLINE int bytes_are(struct bytes b, const char *text) {
    size_t length = strlen(text);
    return (size_t)bytes_length(b) == length && memcmp(b.at, text, length) == 0;
}

static int proto_varint_long(struct bytes *b, uint64_t *value) {
    uint64_t read = 0;
    for (int shift = 0; shift < 64 && b->at < b->end; shift += 7) {
        uint8_t byte = *b->at++;
        read |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = read;
            return shift < 63 || byte <= 1; /* the tenth byte holds one bit */
        }
    }
    return 0;
}

/* Nearly all are keys and lengths of one byte. */
PROTO_INLINE int proto_varint(struct bytes *b, uint64_t *value) {
    if (b->at < b->end && *b->at < 0x80) {
        *value = *b->at++;
        return 1;
    }
    return proto_varint_long(b, value);
}

PROTO_INLINE uint64_t proto_fixed64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

PROTO_INLINE uint32_t proto_fixed32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    return value;
}

/* The key of the next field where it is one byte and its value is bytes whose length is one byte, as most are; 0: it is
 * another one, and the cursor stays. One jump on the key is cheaper than two on its wire type and its number. */
PROTO_INLINE uint8_t proto_short(struct bytes *message, struct bytes *value) {
    const uint8_t *at = message->at;
    if (bytes_length(*message) < 2 || (at[0] & 0x87) != PROTO_BYTES || at[0] < 8) return 0;
    if (at[1] >= 0x80 || bytes_length(*message) - 2 < at[1]) return 0;
    value->at = at + 2;
    value->end = message->at = at + 2 + at[1];
    return at[0];
}

/* 1: a field was read. 0: the message ends here. -1: it is broken; the cursor stays where that was found. */
PROTO_INLINE int proto_next(struct bytes *message, struct field *f) {
    uint64_t key, length;
    if (message->at == message->end) return 0;
    if (!proto_varint(message, &key) || key >> 32 || !(key >> 3)) return -1;
    f->number = (uint32_t)(key >> 3);
    f->wire = (uint32_t)(key & 7);
    switch (f->wire) {
    case PROTO_VARINT: return proto_varint(message, &f->value) ? 1 : -1;
    case PROTO_FIXED64:
        if (bytes_length(*message) < 8) return -1;
        f->value = proto_fixed64(message->at);
        message->at += 8;
        return 1;
    case PROTO_FIXED32:
        if (bytes_length(*message) < 4) return -1;
        f->value = proto_fixed32(message->at);
        message->at += 4;
        return 1;
    case PROTO_BYTES:
        if (!proto_varint(message, &length) || (uint64_t)bytes_length(*message) < length) return -1;
        f->bytes.at = message->at;
        f->bytes.end = message->at += length;
        return 1;
    default: return -1;
    }
}

#endif
