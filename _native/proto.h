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

enum { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

struct bytes {
    const uint8_t *at, *end;
};

struct field {
    uint32_t number, wire;
    uint64_t value;     /* of a varint or a fixed number */
    struct bytes bytes; /* of a message, a string or bytes */
};

static inline int64_t bytes_length(struct bytes b) { return b.end - b.at; }

static inline int bytes_are(struct bytes b, const char *text) {
    size_t length = strlen(text);
    return (size_t)bytes_length(b) == length && memcmp(b.at, text, length) == 0;
}

static inline int proto_varint(struct bytes *b, uint64_t *value) {
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

/* 1: a field was read. 0: the message ends here. -1: it is broken; the cursor stays where that was found. */
static inline int proto_next(struct bytes *message, struct field *f) {
    uint64_t key, length;
    if (message->at == message->end) return 0;
    if (!proto_varint(message, &key) || key >> 32 || !(key >> 3)) return -1;
    f->number = (uint32_t)(key >> 3);
    f->wire = (uint32_t)(key & 7);
    switch (f->wire) {
    case PROTO_VARINT: return proto_varint(message, &f->value) ? 1 : -1;
    case PROTO_FIXED64:
    case PROTO_FIXED32:
        length = f->wire == PROTO_FIXED64 ? 8 : 4;
        if ((uint64_t)bytes_length(*message) < length) return -1;
        f->value = 0;
        for (uint64_t k = 0; k < length; k++) f->value |= (uint64_t)message->at[k] << 8 * k;
        message->at += length;
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
