package etcdsync

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// guarded is an etcd with what the embedded one does not have: TLS, tokens, a
// quota.
type guarded struct {
	*testEtcd
	setup func(*embed.Config)
	etcd  *embed.Etcd // nil while it is stopped
	rpc   *grpc.Server
}

// startGuarded starts an etcd that ends with the test; setup completes its
// configuration at each start.
func startGuarded(t *testing.T, scheme string, setup func(*embed.Config)) *guarded {
	t.Helper()
	ignored := []goleak.Option{ // etcd does not always end its own when it had TLS
		goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("go.etcd.io/etcd/client/pkg/v3/transport.(*tlsListener).acceptLoop"),
		goleak.IgnoreAnyFunction("go.etcd.io/etcd/server/v3/embed.(*serveCtx).startHandler.func1"),
	}
	t.Cleanup(func() { goleak.VerifyNone(t, ignored...) })
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	t.Cleanup(cancel)
	g := &guarded{testEtcd: &testEtcd{T: t, ctx: ctx, dir: t.TempDir(), endpoint: scheme + "://127.0.0.1:0"}, setup: setup}
	g.start()
	t.Cleanup(g.stop)
	return g
}

// start starts etcd, at the same place as before if it was stopped.
func (g *guarded) start() {
	g.Helper()
	c := embed.NewConfig()
	c.Dir, c.UnsafeNoFsync, c.TickMs, c.ElectionMs = g.dir, true, 10, 100
	client, _ := url.Parse(g.endpoint)
	peer, _ := url.Parse("http://127.0.0.1:0")
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	rpc := make(chan *grpc.Server, 2)
	c.ServiceRegister = func(s *grpc.Server) { rpc <- s }
	g.setup(c)
	e, err := embed.StartEtcd(c)
	if err != nil {
		g.Fatal(err)
	}
	<-e.Server.ReadyNotify()
	g.etcd, g.rpc, g.endpoint = e, <-rpc, client.Scheme+"://"+e.Clients[0].Addr().String()
}

func (g *guarded) stop() {
	g.Helper()
	if g.etcd == nil {
		return
	}
	g.rpc.Stop() // Close waits seconds for watches to end
	g.etcd.Close()
	g.etcd = nil
}

// as returns a client that looks behind the back of what is tested, as a user
// (nobody if empty).
func (g *guarded) as(user, password string, secrets *tls.Config) *clientv3.Client {
	g.Helper()
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{g.endpoint}, Username: user, Password: password, TLS: secrets,
		DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { c.Close() })
	return c
}

// dial returns a Store with a log of its own.
func (g *guarded) dial(o Options) (*Store, *logBook) {
	g.Helper()
	log := &logBook{changed: make(chan struct{})}
	o.Log = zerolog.New(log)
	if o.Endpoints == nil {
		o.Endpoints = []string{g.endpoint}
	}
	s, err := Dial(o)
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { s.Close() })
	return s, log
}

// passed waits until a moment is over.
func (g *guarded) passed(at time.Time) {
	g.Helper()
	g.eventually(at.String(), func() bool { return time.Now().After(at) })
}

// write writes a file of the test's own and returns its path.
func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// authority signs certificates for a test.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{T: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", time.Hour, x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate that is good for a while and writes it and its key
// to NAME.crt and NAME.key.
func (a *authority) sign(name string, life time.Duration, c x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	c.Subject, c.SerialNumber = pkix.Name{CommonName: name}, big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(life)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = &c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, parent, &key.PublicKey, signer)
	if err != nil {
		a.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	a.write(name+".crt", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", raw)
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return signed, key
}

// server makes the certificate of an etcd on loopback, client that of an
// agent.
func (a *authority) server() {
	a.Helper()
	a.sign("server", time.Hour, x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) client(life time.Duration) *x509.Certificate {
	a.Helper()
	c, _ := a.sign("client", life, x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return c
}

func (a *authority) write(name, kind string, der []byte) {
	a.Helper()
	write(a, a.path(name), string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// read returns a file's text.
func (a *authority) read(name string) string {
	a.Helper()
	b, err := os.ReadFile(a.path(name))
	if err != nil {
		a.Fatal(err)
	}
	return string(b)
}

// secrets are what a client of etcd needs that is not tested.
func (a *authority) secrets() *tls.Config {
	a.Helper()
	c, err := Options{CAFile: a.path("ca.crt"), CertFile: a.path("server.crt"), KeyFile: a.path("server.key")}.tlsConfig()
	if err != nil {
		a.Fatal(err)
	}
	return c
}
