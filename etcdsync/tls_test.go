package etcdsync

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// startTLS starts an etcd with TLS; with clients, it wants their certificate,
// signed by the authorities of trusted.crt.
func startTLS(t *testing.T, a *authority, clients bool) *guarded {
	a.server()
	write(t, a.path("trusted.crt"), a.read("ca.crt"))
	g := startGuarded(t, "https", func(c *embed.Config) {
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = a.path("server.crt"), a.path("server.key")
		if clients {
			c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = a.path("trusted.crt"), true
		}
	})
	return g
}

// flannel F9: it ignored the CA unless it had a certificate of its own too.
func TestACAAloneIsEnoughForTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	g := startTLS(t, a, false)
	tests := []struct{ name, ca, want string }{
		{"the CA", a.path("ca.crt"), ""},
		{"another CA", stranger.path("ca.crt"), "is --etcd-cafile the authority"},
		{"the system's CAs", "", "is --etcd-cafile the authority"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := g.dial(Options{CAFile: tt.ca, DialTimeout: 3 * time.Second}) // the system's CAs are read the first time
			_, err := s.get(g.ctx, configKey)
			if tt.want == "" && err != nil {
				t.Errorf("got %v", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestAFaultOfTheChannelSaysWhatToDoNext(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	secure := startTLS(t, a, true)
	plain := startGuarded(t, "http", func(*embed.Config) {})
	swap := func(endpoint, from, to string) []string { return []string{strings.Replace(endpoint, from, to, 1)} }
	for _, c := range []*authority{a, stranger} {
		c.client(time.Hour)
		write(t, c.path("good.crt"), c.read("client.crt"))
		write(t, c.path("good.key"), c.read("client.key"))
	}
	a.client(-time.Minute)
	tests := []struct {
		name    string
		options Options
		want    string
	}{
		{"no client certificate", Options{CAFile: a.path("ca.crt")}, "etcd wants a client certificate: set --etcd-certfile"},
		{"a client certificate of somebody else's", Options{CAFile: a.path("ca.crt"), CertFile: stranger.path("good.crt"), KeyFile: stranger.path("good.key")}, "is it signed by the authority that etcd trusts"},
		{"a client certificate that ran out", Options{CAFile: a.path("ca.crt"), CertFile: a.path("client.crt"), KeyFile: a.path("client.key")}, "the client certificate has run out"},
		{"a name that the certificate is not for", Options{Endpoints: swap(secure.endpoint, "127.0.0.1", "localhost"), CAFile: a.path("ca.crt")}, "must be one that etcd's certificate is for"},
		{"TLS to an etcd without", Options{Endpoints: swap(plain.endpoint, "http:", "https:"), CAFile: a.path("ca.crt")}, "use http:// in --etcd-endpoints"},
		{"no TLS to an etcd with", Options{Endpoints: swap(secure.endpoint, "https:", "http:")}, "does it want https://"},
		{"nobody there", Options{Endpoints: []string{"http://127.0.0.1:1"}}, "connection refused; is etcd up, and is --etcd-endpoints right?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.DialTimeout = 200 * time.Millisecond
			s, _ := secure.dial(tt.options)
			for { // a broken connection may have lost the reason
				_, err := s.get(secure.ctx, configKey)
				if err != nil && strings.Contains(err.Error(), tt.want) {
					return
				}
				if err == nil || secure.ctx.Err() != nil {
					t.Fatalf("got %v, want %q in it", err, tt.want)
				}
			}
		})
	}
}

// Everything about the channel is renewed under a host that runs: etcd gets
// another certificate of another authority, and the host's own runs out.
func TestCertificatesAreRotatedUnderARunningHost(t *testing.T) {
	old, next := newAuthority(t), newAuthority(t)
	g := startTLS(t, old, true)
	next.server()
	expires := old.client(2 * time.Second).NotAfter
	s, log := g.dial(Options{CAFile: old.path("ca.crt"), CertFile: old.path("client.crt"), KeyFile: old.path("client.key"), DialTimeout: 300 * time.Millisecond})
	g.client = g.as("", "", old.secrets())
	w := g.follow(s, 1, 0)
	g.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.routes("10.10.2.0/24")

	g.stop()
	write(t, old.path("trusted.crt"), old.read("ca.crt")+next.read("ca.crt"))
	write(t, old.path("server.crt"), next.read("server.crt"))
	write(t, old.path("server.key"), next.read("server.key"))
	g.passed(expires)
	g.start()
	g.awaitLog(log, "is --etcd-cafile the authority")

	write(t, old.path("ca.crt"), next.read("ca.crt"))
	g.awaitLog(log, "the client certificate has run out")

	next.client(time.Hour)
	for _, file := range []string{"client.crt", "client.key"} { // for a moment they do not go together
		write(t, old.path(file), next.read(file))
	}
	g.awaitLog(log, "etcd answers again")
	g.client = g.as("", "", next.secrets())
	g.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.3", mac(3)))
	w.routes("10.10.2.0/24", "10.10.3.0/24")
	for _, tables := range w.published()[1:] {
		if tables.Routes.Len() == 0 {
			t.Errorf("tables at revision %d are empty", tables.Rev)
		}
	}
}

// Files are replaced while they are read; half of one costs an attempt.
func TestAFileThatIsHalfWrittenIsReadAgain(t *testing.T) {
	a := newAuthority(t)
	g := startTLS(t, a, false)
	s, log := g.dial(Options{CAFile: a.path("ca.crt"), DialTimeout: time.Second})
	whole := a.read("ca.crt")
	write(t, a.path("ca.crt"), whole[:len(whole)/2])
	w := g.follow(s, 1, 0)
	g.awaitLog(log, "holds no certificate")
	if err := os.WriteFile(a.path("ca.crt"), []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	w.routes()
}

// Errors that differ by a port alone would be told again and again, until there
// is no room for others.
func TestTheSameFaultOfAConnectionIsTheSameText(t *testing.T) {
	s := &connection{lines: newLines(), opts: Options{}.complete()}
	var texts [2]string
	for i := range texts {
		cause := status.Errorf(codes.DeadlineExceeded, "latest balancer error: write tcp 127.0.0.1:%d->127.0.0.1:2379: write: broken pipe", 4000+i)
		texts[i] = s.explain(context.DeadlineExceeded, cause).Error()
	}
	if want := "no answer within 3s: write: broken pipe; is etcd up, and is --etcd-endpoints right?"; texts[0] != want || texts[1] != want {
		t.Errorf("got %q, want %q twice", texts, want)
	}
}
