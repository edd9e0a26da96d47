/* An ExportMetricsServiceRequest, as far as its metrics tell of calls: a walk that hands out one point after the other.
 *
 * Of service graphs: requests, failed requests, and the histograms of what both sides waited. Of the semantic conventions:
 * the durations of HTTP requests, in the client and in the server. Of a histogram the count and the sum are read. Anything
 * else is passed over.
 *
 * Source  opentelemetry-proto, metrics/v1/metrics.proto; the Collector's servicegraph connector; semantic conventions, HTTP metrics
 */
#ifndef CONTROLPLANE_METRICS_H
#define CONTROLPLANE_METRICS_H

#include "siphash.h"
#include "traces.h"

enum { METRIC_OTHER, METRIC_REQUESTS, METRIC_FAILED, METRIC_SERVER, METRIC_CLIENT, METRIC_HTTP_CLIENT, METRIC_HTTP_SERVER };
enum { TEMPORALITY_DELTA = 1, TEMPORALITY_CUMULATIVE = 2 };
enum { SUM_FIELD = 7, HISTOGRAM_FIELD = 9, EXPONENTIAL_FIELD = 10 };

#define NO_RECORDED_VALUE 1 /* of a point's flags: the series has ended */

struct point {
    int metric, temporality, failed, ended, virtual_node;
    uint64_t sender, series; /* keyed hashes of all that sets it apart, in whatever order it is written */
    int64_t start_ns, at_ns;
    double count, sum; /* sum in the metric's unit; of a counter, count is its value */
    struct bytes client, server;
};

struct metric {
    int number, temporality, monotonic;
    uint32_t shape; /* the field its points came by */
    double unit_s;
    uint64_t sender, series;
    struct bytes service;
};

typedef int (*point_taker)(void *taker, const struct point *p, double unit_s);

static int metric_number(struct bytes name) {
    static const struct {
        const char *name;
        int number;
    } known[] = {
        {"traces_service_graph_request_total", METRIC_REQUESTS},
        {"traces_service_graph_request_failed_total", METRIC_FAILED},
        {"traces_service_graph_request_server_seconds", METRIC_SERVER},
        {"traces_service_graph_request_server", METRIC_SERVER},
        {"traces_service_graph_request_client_seconds", METRIC_CLIENT},
        {"traces_service_graph_request_client", METRIC_CLIENT},
        {"http.client.request.duration", METRIC_HTTP_CLIENT},
        {"http.server.request.duration", METRIC_HTTP_SERVER},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (bytes_are(name, known[k].name)) return known[k].number;
    return METRIC_OTHER;
}

static double as_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

static uint64_t hash_of(const int64_t secret[2], struct bytes b) { return siphash(secret, 4, b.at, bytes_length(b)); }

/* One attribute of a point: who called whom, whether it failed, and its part of what sets the series apart. */
static int point_attribute(struct point *p, const int64_t secret[2], struct bytes pair, int *rank) {
    struct bytes name, value, text;
    int64_t number;
    if (key_value(pair, &name, &value) < 0) return -1;
    int key = attribute_key(name);
    /* the connector labels a counter by how the last call on it went: the same series all the same */
    int wavers = p->metric < METRIC_HTTP_CLIENT && (key == KEY_FAILED || key == KEY_VIRTUAL_NODE);
    if (!wavers) p->series += hash_of(secret, pair);
    if (key == KEY_OTHER) return 0;
    if (any_value(value, &text, &number) < 0) return -1;
    if (p->metric >= METRIC_HTTP_CLIENT) {
        if (key == KEY_HTTP_STATUS) p->failed = http_failed(status_of(number));
        else if (key == KEY_ERROR_TYPE && p->failed < 0) p->failed = 1; /* no answer: a status decides where there is one */
        else if (p->metric == METRIC_HTTP_CLIENT && peer_rank(key) > *rank && bytes_length(text) > 0) {
            *rank = key;
            p->server = text;
        }
        return 0;
    }
    if (key == KEY_CLIENT) p->client = text;
    else if (key == KEY_SERVER) p->server = text;
    else if (key == KEY_CONNECTION_TYPE) p->virtual_node = bytes_are(text, "virtual_node");
    return 0;
}

/* 0: read. -1: broken. A status of "error.type" may come before the status code, so `failed` is open until the end. */
static int point_read(struct point *p, const struct metric *m, const int64_t secret[2], struct bytes message) {
    struct field f;
    uint32_t attributes = m->shape == SUM_FIELD ? 7 : m->shape == HISTOGRAM_FIELD ? 9 : 1;
    uint32_t flags = m->shape == SUM_FIELD ? 8 : 10;
    int got, rank = 0;
    memset(p, 0, sizeof *p);
    p->metric = m->number, p->temporality = m->temporality, p->failed = -1;
    p->sender = m->sender, p->series = m->series;
    while ((got = proto_next(&message, &f)) > 0) {
        if (f.wire == PROTO_BYTES && f.number == attributes) {
            if (point_attribute(p, secret, f.bytes, &rank) < 0) return -1;
        } else if (f.wire == PROTO_FIXED64) {
            if (f.number == 2) p->start_ns = span_time(f.value);
            else if (f.number == 3) p->at_ns = span_time(f.value);
            else if (m->shape == SUM_FIELD && f.number == 4) p->count = as_double(f.value);
            else if (m->shape == SUM_FIELD && f.number == 6) p->count = (double)(int64_t)f.value;
            else if (m->shape != SUM_FIELD && f.number == 4) p->count = (double)f.value;
            else if (m->shape != SUM_FIELD && f.number == 5) p->sum = as_double(f.value);
        } else if (f.wire == PROTO_VARINT && f.number == flags) p->ended = (f.value & NO_RECORDED_VALUE) != 0;
    }
    if (m->number == METRIC_HTTP_CLIENT) p->client = m->service;
    if (m->number == METRIC_HTTP_SERVER) p->server = m->service;
    if (p->virtual_node && bytes_are(p->client, "user")) p->client.end = p->client.at; /* nobody of that name */
    p->failed = p->failed > 0;
    return got;
}

static int metric_points(
    struct metric *m, const int64_t secret[2], struct bytes points, int64_t *left, point_taker take, void *taker
) {
    struct field f;
    struct bytes whole = points; /* what they mean may come after them */
    struct point p;
    int got, told;
    while ((got = proto_next(&whole, &f)) > 0) {
        if (f.wire != PROTO_VARINT) continue;
        if (f.number == 2) m->temporality = f.value <= TEMPORALITY_CUMULATIVE ? (int)f.value : 0;
        if (f.number == 3) m->monotonic = f.value != 0;
    }
    if (got < 0) return -1;
    while ((got = proto_next(&points, &f)) > 0) {
        if (f.number != 1 || f.wire != PROTO_BYTES) continue;
        if (--*left < 0) return -2;
        if (point_read(&p, m, secret, f.bytes) < 0) return -1;
        if (!m->monotonic) p.temporality = 0; /* a sum that may fall counts nothing */
        if ((told = take(taker, &p, m->unit_s)) < 0) return told;
    }
    return got;
}

/* 0: read. -1: broken. -2: more than `left` points. Less: what `take` returned. */
static int metric_read(
    struct bytes message, struct bytes service, uint64_t sender, const int64_t secret[2], int64_t *left, point_taker take,
    void *taker
) {
    struct field f;
    struct bytes whole = message, name = {0, 0}, unit = {0, 0};
    int got, read;
    while ((got = proto_next(&whole, &f)) > 0) {
        if (f.wire != PROTO_BYTES) continue;
        if (f.number == 1) name = f.bytes;
        if (f.number == 3) unit = f.bytes;
    }
    struct metric m = {.number = metric_number(name), .service = service, .unit_s = bytes_are(unit, "ms") ? 1e-3 : 1};
    if (got < 0 || m.number == METRIC_OTHER) return got;
    m.sender = sender;
    m.series = hash_of(secret, name);
    int counter = m.number == METRIC_REQUESTS || m.number == METRIC_FAILED;
    while ((got = proto_next(&message, &f)) > 0) {
        if (f.wire != PROTO_BYTES) continue;
        if (counter ? f.number != SUM_FIELD : f.number != HISTOGRAM_FIELD && f.number != EXPONENTIAL_FIELD) continue;
        m.shape = f.number;
        m.monotonic = !counter;
        if ((read = metric_points(&m, secret, f.bytes, left, take, taker)) < 0) return read;
    }
    return got;
}

/* What sets one resource apart from another. */
static int resource_hash(struct bytes message, const int64_t secret[2], uint64_t *sender) {
    struct field f;
    int got;
    while ((got = proto_next(&message, &f)) > 0)
        if (f.number == 1 && f.wire == PROTO_BYTES) *sender += hash_of(secret, f.bytes);
    return got;
}

static int otlp_metrics(struct bytes request, const int64_t secret[2], int64_t left, point_taker take, void *taker) {
    struct field resource, scope, f;
    struct bytes service, whole;
    int got, read;
    while ((got = proto_next(&request, &resource)) > 0) {
        if (resource.number != 1 || resource.wire != PROTO_BYTES) continue;
        uint64_t sender = 0;
        if (resource_service(resource.bytes, &service) < 0) return -1;
        whole = resource.bytes;
        while ((got = proto_next(&whole, &f)) > 0)
            if (f.number == 1 && f.wire == PROTO_BYTES && resource_hash(f.bytes, secret, &sender) < 0) return -1;
        if (got < 0) return -1;
        while ((got = proto_next(&resource.bytes, &scope)) > 0) {
            if (scope.number != 2 || scope.wire != PROTO_BYTES) continue;
            while ((got = proto_next(&scope.bytes, &f)) > 0) {
                if (f.number != 2 || f.wire != PROTO_BYTES) continue;
                if ((read = metric_read(f.bytes, service, sender, secret, &left, take, taker)) < 0) return read;
            }
            if (got < 0) return -1;
        }
        if (got < 0) return -1;
    }
    return got;
}

#endif
