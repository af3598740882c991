package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/uvtep/uvtep/internal/metrics"
)

const (
	// httpTimeout bounds how long one request may take to come in and go out.
	httpTimeout = 15 * time.Second
	// httpConns is how many may be connected at once; others wait.
	httpConns = 64
)

// parseListen takes ADDR:PORT, where no address means all.
func parseListen(s string) error {
	host, _, ok := strings.Cut(s, ":")
	if ok && host == "" {
		s = "[::]" + s
	}
	if at, err := netip.ParseAddrPort(s); err != nil || at.Port() == 0 {
		return fmt.Errorf("--http-listen %q: want ADDRESS:PORT such as 127.0.0.1:9473, or :9473 for all addresses", s)
	}
	return nil
}

// web is what the agent tells whoever asks on --http-listen. It changes nothing.
type web struct {
	*vitals
	metrics *metrics.Set
}

// serveHTTP returns what serves on l, nil for not at all, until ctx ends. It is
// to begin before there is a network: what is waited for can be asked then.
func (a *agent) serveHTTP(l net.Listener) func(context.Context) error {
	return func(ctx context.Context) error {
		if l == nil {
			<-ctx.Done()
			return nil
		}
		return a.web.serve(ctx, l)
	}
}

// serve serves until ctx ends.
func (w *web) serve(ctx context.Context, l net.Listener) error {
	s := http.Server{
		Handler: w.handler(), ReadTimeout: httpTimeout, WriteTimeout: httpTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0), // what strangers do wrong is no line in ours
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	err := s.Serve(netutil.LimitListener(l, httpConns))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
}

// listenHTTP opens --http-listen; nil when there is to be none.
func (a *agent) listenHTTP() (net.Listener, error) {
	if a.httpListen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", a.httpListen)
	if err != nil {
		return nil, fmt.Errorf("--http-listen %s: %w; choose another address or port", a.httpListen, err)
	}
	a.log.Info().Stringer("listen", l.Addr()).Msg("metrics, health and the status page are served")
	return l, nil
}

// handler serves everything, to GET and HEAD alone.
func (w *web) handler() http.Handler {
	m := http.NewServeMux()
	m.Handle("/metrics", w.metrics.Handler())
	m.HandleFunc("/healthz", verdictOf("uvtep is running", "uvtep is not well", w.sick))
	m.HandleFunc("/readyz", verdictOf("uvtep is ready", "uvtep is not ready yet", w.unready))
	m.HandleFunc("/{$}", w.page)
	return readOnly(m)
}

// readOnly refuses what asks for a change.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "nothing can be changed here; use GET", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// verdictOf answers 200 and good, or 503 and what is wrong, as flanneld does.
func verdictOf(good, bad string, wrong func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := wrong(); err != nil {
			http.Error(w, bad+": "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintln(w, good)
	}
}
