/* A whole ExportTraceServiceRequest, as it comes: once to see that it can be read, and once to put its spans in.
 *
 * Source  opentelemetry-proto, collector/trace/v1/trace_service.proto and trace/v1/trace.proto
 */
#ifndef CONTROLPLANE_TRACES_H
#define CONTROLPLANE_TRACES_H

#include "pairing.h"

/* The name of the service whose resource `message` tells of, an empty one where it does not. 0: read; -1: broken. */
static int resource_service(struct bytes message, struct bytes *service) {
    struct field f, pair;
    struct bytes name, value, text;
    int64_t number;
    int got;
    *service = (struct bytes){0, 0};
    while ((got = proto_next(&message, &f)) > 0) {
        if (f.number != 1 || f.wire != PROTO_BYTES) continue;
        while ((got = proto_next(&f.bytes, &pair)) > 0) {
            if (pair.number != 1 || pair.wire != PROTO_BYTES) continue;
            if (key_value(pair.bytes, &name, &value) < 0) return -1;
            if (attribute_key(name) != KEY_SERVICE_NAME) continue;
            if (any_value(value, &text, &number) < 0) return -1;
            *service = text;
        }
        if (got < 0) return -1;
    }
    return got;
}

/* The spans of one resource. `apply` 0 only checks them. */
static int traces_of(struct pairing *p, struct bytes resource, int64_t now_ns, int64_t *left, int apply) {
    struct field scope, f;
    struct bytes service;
    struct span s;
    int32_t number = NO_PLACE;
    int got;
    if (resource_service(resource, &service) < 0) return -1; /* it may come after its spans */
    if (apply) number = name_number(p, service);
    while ((got = proto_next(&resource, &scope)) > 0) {
        if (scope.number != 2 || scope.wire != PROTO_BYTES) continue;
        while ((got = proto_next(&scope.bytes, &f)) > 0) {
            if (f.number != 2 || f.wire != PROTO_BYTES) continue;
            if (--*left < 0) return -2;
            if (span_read(&s, f.bytes) < 0) return -1;
            if (!apply) continue;
            p->spans++;
            if (s.has_trace && s.has_id) pairing_add(p, &s, number, now_ns);
            else p->rejected++;
        }
        if (got < 0) return -1;
    }
    return got;
}

/* 0: read. -1: broken. -2: more than `spans_max`. With `apply` 0 nothing is changed. */
static int otlp_traces(struct pairing *p, struct bytes request, int64_t now_ns, int64_t spans_max, int apply) {
    struct field resource;
    int got, read;
    while ((got = proto_next(&request, &resource)) > 0) {
        if (resource.number != 1 || resource.wire != PROTO_BYTES) continue;
        if ((read = traces_of(p, resource.bytes, now_ns, &spans_max, apply)) < 0) return read;
    }
    return got;
}

#endif
