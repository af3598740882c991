package etcdsync

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/uvtep/uvtep/etcdsync/embedded"
)

// patienceOfTests bounds what a test waits for; only a failing test waits so
// long.
const patienceOfTests = 60 * time.Second

// testEtcd is a real etcd of a test's own, and a client to look behind the
// back of what is tested.
type testEtcd struct {
	*testing.T
	ctx      context.Context
	dir      string
	endpoint string
	server   *embedded.Server // nil while it is stopped
	client   *clientv3.Client
}

// startEtcd starts an etcd that ends with the test, and checks then that no
// goroutine is left of whatever ran on it.
func startEtcd(t *testing.T) *testEtcd {
	t.Helper()
	current := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, current) })
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	t.Cleanup(cancel)
	e := &testEtcd{T: t, ctx: ctx, dir: t.TempDir(), endpoint: "http://127.0.0.1:0"}
	e.start()
	t.Cleanup(e.stop)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	e.client = c
	return e
}

// start starts etcd, at the same place as before if it was stopped.
func (e *testEtcd) start() {
	e.Helper()
	s, err := embedded.Start(e.ctx, embedded.Config{Listen: e.endpoint, Dir: e.dir, NoSync: true})
	if err != nil {
		e.Fatal(err)
	}
	e.server, e.endpoint = s, s.Endpoint()
}

func (e *testEtcd) stop() {
	e.Helper()
	if e.server == nil {
		return
	}
	if err := e.server.Close(); err != nil {
		e.Fatal(err)
	}
	e.server = nil
}

// wipe gives etcd an empty past.
func (e *testEtcd) wipe() {
	e.stop()
	e.dir = e.TempDir()
	e.start()
}

// store returns a Store on e, with its log.
func (e *testEtcd) store() (*Store, *logBook) {
	e.Helper()
	log := &logBook{changed: make(chan struct{})}
	s, err := Dial(Options{Endpoints: []string{e.endpoint}, Log: zerolog.New(log)})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { s.Close() })
	return s, log
}

const testPrefix = DefaultPrefix + "/"

func (e *testEtcd) put(name, value string, opts ...clientv3.OpOption) int64 {
	e.Helper()
	r, err := e.client.Put(e.ctx, testPrefix+name, value, opts...)
	if err != nil {
		e.Fatal(err)
	}
	return r.Header.Revision
}

func (e *testEtcd) del(name string, opts ...clientv3.OpOption) {
	e.Helper()
	if _, err := e.client.Delete(e.ctx, testPrefix+name, opts...); err != nil {
		e.Fatal(err)
	}
}

// value returns what a key holds and its etcd lease, "" and 0 if it is not
// there.
func (e *testEtcd) value(name string) (string, clientv3.LeaseID) {
	e.Helper()
	r, err := e.client.Get(e.ctx, testPrefix+name)
	if err != nil {
		e.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return "", 0
	}
	return string(r.Kvs[0].Value), clientv3.LeaseID(r.Kvs[0].Lease)
}

// names returns the keys under a folder.
func (e *testEtcd) names(dir string) []string {
	e.Helper()
	r, err := e.client.Get(e.ctx, testPrefix+dir, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		e.Fatal(err)
	}
	var out []string
	for _, kv := range r.Kvs {
		out = append(out, strings.TrimPrefix(string(kv.Key), testPrefix+dir))
	}
	return out
}

// await returns a key's value once that satisfies a condition.
func (e *testEtcd) await(name string, from int64, holds func(value string, lease clientv3.LeaseID) bool) string {
	e.Helper()
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	for r := range e.client.Watch(ctx, testPrefix+name, clientv3.WithRev(from)) {
		for _, ev := range r.Events {
			if ev.Type == clientv3.EventTypePut && holds(string(ev.Kv.Value), clientv3.LeaseID(ev.Kv.Lease)) {
				return string(ev.Kv.Value)
			}
		}
	}
	e.Fatalf("%s did not become what it should", name)
	return ""
}

// eventually waits for something that nobody tells of.
func (e *testEtcd) eventually(what string, holds func() bool) {
	e.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-e.ctx.Done():
			e.Fatalf("waited in vain for %s", what)
		}
	}
}

// grant returns an etcd lease.
func (e *testEtcd) grant() clientv3.LeaseID {
	e.Helper()
	r, err := e.client.Grant(e.ctx, 3600)
	if err != nil {
		e.Fatal(err)
	}
	return r.ID
}

// claim is what host number i (1 to 250) asks for.
func claim(i int) Claim {
	n, _ := NewNetwork(prefix("10.10.0.0/16"), netip.Prefix{}).Complete()
	return Claim{
		Network: n, NodeID: fmt.Sprintf("%032x", i),
		PublicIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), MAC: mac(byte(i)),
	}
}

// acquire registers a host, which must work. It gets a subnet in the upper half of the
// network, where no test has one of its own, unless the claim asks for another.
func (e *testEtcd) acquire(s *Store, c Claim) *Registration {
	e.Helper()
	upper := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, 128 + c.MAC[5]%128, 0}), 24)
	if n := c.Network.IPv4; !c.Want.IsValid() && !c.Previous.IsValid() && n.IsValid() && n.Contains(upper.Addr()) && c.Network.SubnetLen == 24 {
		c.Previous = upper
	}
	r, err := s.Acquire(e.ctx, c)
	if err != nil {
		e.Fatal(err)
	}
	return r
}

// run runs something until the test ends or stop is called.
func (e *testEtcd) run(f func(context.Context) error) (stop func()) {
	e.Helper()
	ctx, cancel := context.WithCancel(e.ctx)
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			e.Errorf("end of a run: got %v, want nil", err)
		}
	})
	e.Cleanup(stop)
	return stop
}

// logBook keeps a log, and tells when a line was added.
type logBook struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(p))
	close(b.changed)
	b.changed = make(chan struct{})
	return len(p), nil
}

// count returns how many lines contain a text.
func (b *logBook) count(text string) (n int, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n, b.changed
}

// awaitLog waits for a line.
func (e *testEtcd) awaitLog(b *logBook, text string) {
	e.Helper()
	for {
		n, changed := b.count(text)
		if n > 0 {
			return
		}
		select {
		case <-changed:
		case <-e.ctx.Done():
			e.Fatalf("no line with %q in the log:\n%s", text, strings.Join(b.lines, ""))
		}
	}
}

// spectator follows etcd and keeps every table published.
type spectator struct {
	*testEtcd
	stop func()

	mu      sync.Mutex
	all     []*Tables
	saved   []byte // given to Save last
	changed chan struct{}
}

// follow runs Follow as host number i.
func (e *testEtcd) follow(s *Store, i int, hold time.Duration) *spectator {
	e.Helper()
	return e.followFrom(nil, s, i, hold)
}

// opened is a cache as Follow reads it, nil when there is none.
func opened(b []byte) io.ReadSeekCloser {
	if b == nil {
		return nil
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(b), io.NopCloser(nil)}
}

// followFrom is follow with the cache of an earlier run.
func (e *testEtcd) followFrom(last []byte, s *Store, i int, hold time.Duration) *spectator {
	e.Helper()
	c := claim(i)
	w := &spectator{testEtcd: e, changed: make(chan struct{})}
	w.stop = e.run(func(ctx context.Context) error {
		return s.Follow(ctx, FollowConfig{
			Network: c.Network, NodeID: c.NodeID, Own: []netip.Addr{c.PublicIP}, MAC: c.MAC,
			MassDeleteHold: hold, Publish: w.publish, Last: opened(last), Save: w.save,
		})
	})
	return w
}

func (w *spectator) publish(t *Tables) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, t)
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *spectator) save(t io.WriterTo) {
	b := written(w, t)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saved = b
}

// cache ends the run and returns what it kept.
func (w *spectator) cache() []byte {
	w.Helper()
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.saved == nil {
		w.Fatal("the run kept nothing")
	}
	return w.saved
}

// until waits for tables that satisfy a condition.
func (w *spectator) until(what string, holds func(*Tables) bool) *Tables {
	w.Helper()
	for {
		w.mu.Lock()
		n, changed := len(w.all), w.changed
		if n > 0 && holds(w.all[n-1]) {
			defer w.mu.Unlock()
			return w.all[n-1]
		}
		w.mu.Unlock()
		select {
		case <-changed:
		case <-w.ctx.Done():
			w.mu.Lock()
			defer w.mu.Unlock()
			last := "none"
			if n := len(w.all); n > 0 {
				last = fmt.Sprintf("%+v", viewOf(w.all[n-1]))
			}
			w.Fatalf("tables %s did not come; last: %s", what, last)
		}
	}
}

// routes waits until exactly these subnets are routed.
func (w *spectator) routes(dst ...string) *Tables {
	w.Helper()
	return w.until(fmt.Sprintf("with routes to %s", dst), func(t *Tables) bool {
		got := make([]string, 0, t.Routes.Len())
		for _, r := range t.Routes.Sorted() {
			got = append(got, r.Dst.String())
		}
		return slices.Equal(got, dst)
	})
}

// published returns all tables so far.
func (w *spectator) published() []*Tables {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}
