/* load.c - HTTP/1.1 load generator for one POST request (one thread, epoll).
 *
 *   load PORT PATH BODYFILE SECONDS RATE CONNS [HEADER...]
 *
 * RATE 0:  closed loop, CONNS connections always busy (finds the maximum rate).
 * RATE >0: open loop, Poisson arrivals at RATE per second over at most CONNS
 *          connections.  Latency counts from the time the request was DUE, so a
 *          stalled server cannot hide its queue (no coordinated omission).
 * "##########" in the body becomes a number that no other request has.  If the environment
 * names a file in LOAD_KEYS (bearer keys of equal length, one a line), each
 * request takes the next key.  The first fifth of the time (at most 2 s) is
 * warm-up and is not counted.  Times to the first byte and, in streams, to the
 * first text of the answer are kept apart.  Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAXC 4096
#define HEAD 16384
enum { IDLE, WAIT_HEAD, BODY_LEN, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };
typedef struct {
    int fd, st, hl, status, nl, close_after;
    int64_t left, due, first, text; int size;
    char head[HEAD + 1];
} Conn;

static Conn *cs; static int ncs, ep, tfd, maxc, idle[MAXC], nidle, port;
static char *req; static int reqlen, seqoff = -1;
static char *keys; static int keylen, nkeys, keyoff;
static int64_t base, seq, t_warm, t_end;
static float *lat, *ttfb, *ttft; static int nlat, ntext, cap;
static long ok, bad, errs, events, late; static char first_bad[400];

static int64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }

static int dial(Conn *c) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (void *)&a, sizeof a)) { close(c->fd); c->fd = -1; return -1; }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = c - cs};
    return epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}
static void start(Conn *c, int64_t due) {
    char b[16];
    if (seqoff >= 0) { snprintf(b, sizeof b, "%010ld", (long)((base + ++seq) % 10000000000L)); memcpy(req + seqoff, b, 10); }
    if (nkeys) memcpy(req + keyoff, keys + (seq % nkeys) * (keylen + 1), keylen);
    c->st = WAIT_HEAD; c->hl = 0; c->due = due; c->first = c->text = 0; c->nl = 0; c->close_after = 0;
    if (c->fd < 0 && dial(c)) { errs++; c->st = IDLE; idle[nidle++] = c - cs; return; }
    if (send(c->fd, req, reqlen, MSG_NOSIGNAL) != reqlen) { close(c->fd); c->fd = -1; errs++; c->st = IDLE; idle[nidle++] = c - cs; }
}
static void done(Conn *c) {
    int64_t t = now_ns();
    c->st = IDLE;
    if (c->close_after) { close(c->fd); c->fd = -1; }
    if (c->due >= t_warm && t <= t_end + 2000000000LL) {
        if (c->status == 200) {
            ok++;
            if (nlat == cap) { cap = cap ? 2 * cap : 1 << 16; lat = realloc(lat, cap * sizeof *lat); ttfb = realloc(ttfb, cap * sizeof *ttfb); ttft = realloc(ttft, cap * sizeof *ttft); }
            lat[nlat] = (t - c->due) / 1e6; ttfb[nlat++] = (c->first - c->due) / 1e6;
            if (c->text) ttft[ntext++] = (c->text - c->due) / 1e6;
        } else bad++;
    }
    idle[nidle++] = c - cs;
}
static int says(const char *p, int n) {                 /* does this piece of a stream hold text of the answer? */
    const char *end = p + n;
    while ((p = memmem(p, end - p, "\"content\":\"", 11))) { p += 11; if (p < end && *p != '"') return 1; }
    return 0;
}
static void feed(Conn *c, char *p, int n) {              /* response parser */
    while (n > 0 && c->st != IDLE) {
        if (c->st == WAIT_HEAD) {
            int k = n < HEAD - c->hl ? n : HEAD - c->hl;
            memcpy(c->head + c->hl, p, k); int old = c->hl; c->hl += k; c->head[c->hl] = 0;
            char *e = strstr(c->head, "\r\n\r\n");
            if (!e) return;
            int used = e + 4 - c->head - old; p += used; n -= used; e[2] = 0;
            c->status = atoi(c->head + 9);
            if (c->status != 200 && !first_bad[0]) snprintf(first_bad, sizeof first_bad, "%.100s | %.*s", c->head, n < 280 ? n : 280, p);
            c->close_after = strcasestr(c->head, "\r\nconnection: close") != NULL;
            char *h = strcasestr(c->head, "\r\ncontent-length:");
            if (h) { c->left = atoll(h + 17); c->st = BODY_LEN; if (!c->left) { c->first = now_ns(); done(c); } }
            else { c->st = CHUNK_SIZE; c->size = 0; }
        } else if (c->st == BODY_LEN || c->st == CHUNK_DATA) {
            int k = n < c->left ? n : c->left;
            if (!c->first) c->first = now_ns();
            if (c->st == CHUNK_DATA && !c->text && says(p, k)) c->text = now_ns();
            if (c->st == CHUNK_DATA) for (int i = 0; i < k; i++) { if (p[i] == '\n') { if (c->nl) events += c->due >= t_warm; c->nl = !c->nl; } else c->nl = 0; }
            c->left -= k; p += k; n -= k;
            if (!c->left) { if (c->st == BODY_LEN) done(c); else c->st = CHUNK_END; }
        } else {
            char ch = *p++; n--;
            if (c->st == CHUNK_SIZE) {
                int d = ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
                if (d >= 0 && c->size >= 0) c->size = c->size * 16 + d;
                if (ch == '\n') { if (c->size) { c->left = c->size; c->st = CHUNK_DATA; } else { c->st = TRAILER; c->hl = 0; } }
            } else if (c->st == CHUNK_END) { if (ch == '\n') { c->st = CHUNK_SIZE; c->size = 0; } }
            else if (ch == '\n') { if (c->hl == 0) done(c); c->hl = 0; } else if (ch != '\r') c->hl++;
        }
    }
}
static int cmp(const void *a, const void *b) { float x = *(float *)a, y = *(float *)b; return (x > y) - (x < y); }
static void pct(const char *name, float *v, int nlat) {
    double s = 0; for (int i = 0; i < nlat; i++) s += v[i];
    qsort(v, nlat, sizeof *v, cmp);
    #define P(q) (nlat ? v[(int)(q * (nlat - 1))] : -1.0)
    printf(", \"%s_ms\": {\"mean\": %.4f, \"p50\": %.4f, \"p90\": %.4f, \"p95\": %.4f, \"p99\": %.4f, \"p999\": %.4f, \"max\": %.4f}",
        name, nlat ? s / nlat : -1, P(.50), P(.90), P(.95), P(.99), P(.999), P(1.0));
}
int main(int argc, char **argv) {
    if (argc < 7) { fprintf(stderr, "usage: load PORT PATH BODYFILE SECONDS RATE CONNS [HEADER...]\n"); return 2; }
    port = atoi(argv[1]); double secs = atof(argv[4]), rate = atof(argv[5]);
    maxc = atoi(argv[6]) < MAXC ? atoi(argv[6]) : MAXC;
    signal(SIGPIPE, SIG_IGN);
    FILE *f = fopen(argv[3], "rb"); if (!f) { perror(argv[3]); return 2; }
    static char body[1 << 20]; int bl = fread(body, 1, sizeof body, f);
    req = malloc(bl + 8192);
    int o = sprintf(req, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: */*\r\nUser-Agent: load/1\r\nContent-Length: %d\r\n", argv[2], port, bl);
    for (int i = 7; i < argc; i++) o += sprintf(req + o, "%s\r\n", argv[i]);
    if (getenv("LOAD_KEYS")) {
        FILE *k = fopen(getenv("LOAD_KEYS"), "rb"); if (!k) { perror("LOAD_KEYS"); return 2; }
        keys = malloc(1 << 20); int kl = fread(keys, 1, (1 << 20) - 1, k); keys[kl] = 0; fclose(k);
        keylen = strcspn(keys, "\n"); nkeys = keylen ? kl / (keylen + 1) : 0;
        keyoff = o + sprintf(req + o, "Authorization: Bearer ");
        o += sprintf(req + o, "Authorization: Bearer %.*s\r\n", keylen, keys);
    }
    o += sprintf(req + o, "\r\n"); memcpy(req + o, body, bl); reqlen = o + bl;
    char *s = memmem(req + o, bl, "##########", 10); if (s) seqoff = s - req;

    base = (int64_t)time(NULL) * 10000;                    /* no run repeats the prompts of an earlier one */
    cs = calloc(maxc, sizeof *cs); ep = epoll_create1(0); ncs = maxc;
    for (int i = maxc - 1; i >= 0; i--) { cs[i].fd = -1; idle[nidle++] = i; }
    int64_t t0 = now_ns(), due = t0; double warm = secs / 5 < 2 ? secs / 5 : 2;
    t_warm = t0 + warm * 1e9; t_end = t0 + secs * 1e9; srand48(42);
    tfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = 0xffffffff}, evs[512];
    epoll_ctl(ep, EPOLL_CTL_ADD, tfd, &e);
    static char buf[1 << 18];
    if (rate == 0) while (nidle) { Conn *c = &cs[idle[--nidle]]; start(c, now_ns()); if (errs > 1000) break; }
    for (;;) {
        int64_t t = now_ns();
        if (t >= t_end + (rate > 0 ? 2000000000LL : 0) || (rate > 0 && t >= t_end && nidle == maxc) || errs > 100000) break;
        int wait = 100;
        if (rate > 0) {
            while (due <= t && due < t_end && nidle) { start(&cs[idle[--nidle]], due); due += -log(1 - drand48()) / rate * 1e9; }
            if (due <= t && due < t_end) late++;
            if (nidle && due < t_end) {
                struct itimerspec it = {.it_value = {due / 1000000000LL, due % 1000000000LL}};
                timerfd_settime(tfd, TFD_TIMER_ABSTIME, &it, NULL);
            }
        } else while (nidle && t < t_end) start(&cs[idle[--nidle]], now_ns());
        int k = epoll_wait(ep, evs, 512, wait);
        for (int i = 0; i < k; i++) {
            if (evs[i].data.u32 == 0xffffffff) { uint64_t x; if (read(tfd, &x, 8) < 0) {} continue; }
            Conn *c = &cs[evs[i].data.u32];
            if (c->fd < 0) continue;
            int r = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
            if (r > 0) feed(c, buf, r);
            else if (r == 0 || errno != EAGAIN) { close(c->fd); c->fd = -1; if (c->st != IDLE) { errs++; c->st = IDLE; idle[nidle++] = c - cs; } }
        }
    }
    int unfinished = rate > 0 ? maxc - nidle : 0;
    double span = secs - warm;
    for (char *p = first_bad; *p; p++) if (*p == '"' || *p == '\\' || *p < 32) *p = ' ';
    printf("{\"rps\": %.1f, \"ok\": %ld, \"bad\": %ld, \"errors\": %ld, \"unfinished\": %d, \"all_busy\": %ld, \"events_per_s\": %.0f, \"issued\": %ld", ok / span, ok, bad, errs, unfinished, late, events / span, (long)seq);
    pct("lat", lat, nlat); pct("ttfb", ttfb, nlat); pct("ttft", ttft, ntext);
    printf(", \"first_bad\": \"%s\"}\n", first_bad);
    return 0;
}
