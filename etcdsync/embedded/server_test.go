package embedded_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
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

// patience bounds what a test waits for; only a failing test waits so long.
const patience = 30 * time.Second

func start(t *testing.T, c embedded.Config) *embedded.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.NoSync = true
	s, err := embedded.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, endpoint string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An end that was asked for is no fault, also while somebody watches.
func TestACloseIsNoFault(t *testing.T) {
	var mu sync.Mutex
	var lines strings.Builder
	log := zerolog.New(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return lines.Write(b)
	}))
	s := start(t, embedded.Config{Listen: "http://127.0.0.1:0", Dir: filepath.Join(t.TempDir(), "etcd"), Log: log})
	client := dial(t, s.Endpoint())
	defer client.Close()
	watch := client.Watch(t.Context(), "k", clientv3.WithCreatedNotify())
	<-watch
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if strings.Contains(lines.String(), `"level":"error"`) {
		t.Errorf("logged\n%s", lines.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestDataOutlivesTheServer(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "etcd")
	first := start(t, embedded.Config{Listen: "http://127.0.0.1:0", Dir: dir})
	endpoint := first.Endpoint()
	client := dial(t, endpoint)
	defer client.Close()
	put, err := client.Put(ctx, "k", "v")
	if err != nil {
		t.Fatal(err)
	}
	watch := client.Watch(ctx, "k", clientv3.WithRev(put.Header.Revision+1)) // must not delay Close
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := start(t, embedded.Config{Listen: endpoint, Dir: dir})
	if got := second.Endpoint(); got != endpoint {
		t.Errorf("endpoint after the restart: got %s, want %s", got, endpoint)
	}
	got, err := client.Get(ctx, "k", clientv3.WithSerializable())
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" {
		t.Errorf("after the restart: got %v, %v, want v", got, err)
	}
	if _, err := client.Put(ctx, "k", "w"); err != nil {
		t.Fatal(err)
	}
	if r := <-watch; len(r.Events) != 1 || string(r.Events[0].Kv.Value) != "w" {
		t.Errorf("watch across the restart: got %v, want one event", r)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	tests := []struct {
		name   string
		config embedded.Config
		want   string
	}{
		{"a port that is taken", embedded.Config{Listen: "http://" + taken.Addr().String(), Dir: dir}, "address already in use"},
		{"TLS", embedded.Config{Listen: "https://127.0.0.1:0", Dir: dir}, "for TLS run etcd itself"},
		{"no port", embedded.Config{Listen: "http://127.0.0.1", Dir: dir}, "the port is missing"},
		{"a host name", embedded.Config{Listen: "http://first.example:2379", Dir: dir}, "not a name"},
		{"a path", embedded.Config{Listen: "http://127.0.0.1:0/v3", Dir: dir}, "a path makes no sense"},
		{"not a URL", embedded.Config{Listen: "http://%", Dir: dir}, "invalid URL"},
		{"no directory", embedded.Config{Listen: "http://127.0.0.1:0"}, "no directory"},
		{"a directory that cannot be made", embedded.Config{Listen: "http://127.0.0.1:0", Dir: "/proc/nothing/etcd"}, "/proc/nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s, err := embedded.Start(ctx, tt.config)
			if err == nil {
				s.Close()
				t.Fatal("got no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want %q in it", err, tt.want)
			}
		})
	}
}

func TestAnEtcdThatFallsOverAtItsStartSaysSo(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "member", "snap", "db")
	if err := errors.Join(os.MkdirAll(filepath.Dir(db), 0o700), os.WriteFile(db, []byte("rubbish"), 0o600)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := embedded.Start(ctx, embedded.Config{Listen: "http://127.0.0.1:0", Dir: dir, NoSync: true})
	if !errors.Is(err, embedded.ErrBroken) || !strings.Contains(err.Error(), "failed to open database") {
		t.Errorf("got %v, want %v and why", err, embedded.ErrBroken)
	}
}

func TestStartThatNobodyWaitsForStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := embedded.Start(ctx, embedded.Config{Listen: "http://127.0.0.1:0", Dir: dir, NoSync: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
		t.Errorf("%d files were made, %v; want none, nil", len(made), err)
	}
}

func TestItIsQuietUnlessAsked(t *testing.T) {
	tests := []struct {
		name  string
		level zerolog.Level
		want  bool
	}{
		{"info", zerolog.InfoLevel, false},
		{"debug", zerolog.DebugLevel, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lines strings.Builder
			log := zerolog.New(zerolog.SyncWriter(&lines)).Level(tt.level)
			s := start(t, embedded.Config{Listen: "http://127.0.0.1:0", Dir: t.TempDir(), Log: log})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(lines.String(), "starting an etcd server"); got != tt.want {
				t.Errorf("etcd's story is told: got %t, want %t\n%s", got, tt.want, lines.String())
			}
		})
	}
}

// closing is a context that ends between the two moments at which Start asks:
// when etcd has been launched, and serves nobody yet.
type closing struct {
	context.Context
	asked int
	then  func()
}

func (c *closing) Done() <-chan struct{} {
	if c.asked++; c.asked == 1 {
		return nil
	}
	c.then()
	ended := make(chan struct{})
	close(ended)
	return ended
}

func TestAStartThatIsCalledOffDoesNotWaitForWatches(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := start(t, embedded.Config{Listen: "http://127.0.0.1:0", Dir: t.TempDir()})
	c := embedded.Config{Listen: s.Endpoint(), NoSync: true}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 4 { // a watch may come too late
		c.Dir = t.TempDir()
		client := dial(t, c.Listen)
		late := &closing{Context: t.Context(), then: func() { go client.Watch(t.Context(), "k") }}
		if _, err := embedded.Start(late, c); err != nil {
			t.Errorf("got %v, want nil: the context has no error of its own", err)
		}
		client.Close()
	}
}
