/* stream.h - the transport interface: what a connection knows of its socket.
 *
 * A transport is a struct of functions; TLS stacks on the same interface. A
 * stream reports to its owner through callbacks, never from inside a call of
 * the owner's. After close() nothing comes but closed(), with which the memory
 * is gone. */
#ifndef TB_NET_STREAM_H
#define TB_NET_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

struct tb_net;
struct tb_transport;

struct tb_stream_cb {
    void (*opened)(void *owner, int status);               /* of connect() */
    void (*read)(void *owner, const uint8_t *p, size_t n); /* lent */
    void (*ended)(void *owner, int status);                /* 0: end of file */
    void (*written)(void *owner, int status);              /* of write() */
    void (*closed)(void *owner);
};

struct tb_stream {
    const struct tb_transport *transport;
    const struct tb_stream_cb *cb;
    void *owner;
};

struct tb_transport {
    unsigned length_bytes; /* of frames in the handshake */

    /* 0 and *out, or an error (nothing is called back then). host: what the
     * name of the node dialled says; borrowed until closed() */
    int (*connect)(struct tb_net *net, const struct sockaddr *to,
                   const char *host, const struct tb_stream_cb *cb, void *owner,
                   struct tb_stream **out);
    int (*accept)(struct tb_net *net, uv_stream_t *listener,
                  const struct tb_stream_cb *cb, void *owner,
                  struct tb_stream **out);
    void (*read_start)(struct tb_stream *s);
    void (*read_stop)(struct tb_stream *s);
    /* Bytes that went out at once, 0 if none could. */
    ssize_t (*try_write)(struct tb_stream *s, const uint8_t *p, size_t n);
    /* The bytes stay the owner's, untouched, until written(). */
    int (*write)(struct tb_stream *s, const uint8_t *p, size_t n);
    /* no more writes: the peer reads what is under way, then the end. */
    void (*shutdown)(struct tb_stream *s);
    void (*close)(struct tb_stream *s);
    /* Bytes of write() that the peer has not taken yet. */
    size_t (*unwritten)(const struct tb_stream *s);
    int (*peer)(struct tb_stream *s, struct sockaddr_storage *out);
    /* What its error was, for people; "" where the status says it all. Lent
     * until closed(). */
    const char *(*trouble)(const struct tb_stream *s);
};

extern const struct tb_transport tb_tcp, tb_tls_transport;

#endif
