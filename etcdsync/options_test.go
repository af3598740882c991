package etcdsync

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

func TestOptionsThatCannotWorkAreRefusedWithAllTheirFaults(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rubbish, password, empty := file("rubbish", "rubbish"), file("password", "secret\nmore"), file("empty", "\n")
	absent := filepath.Join(dir, "absent")
	plain, secure := []string{"http://192.0.2.1:2379"}, []string{"https://192.0.2.1:2379"}
	tests := []struct {
		name    string
		options Options
		want    []string // nothing: it is all right
	}{
		{"the least there must be", Options{Endpoints: plain}, nil},
		{"several members", Options{Endpoints: []string{"http://etcd-1:2379", "http://[fd00::1]:2379/"}}, nil},
		{"a user", Options{Endpoints: plain, Username: "u", PasswordFile: password}, nil},
		{"nothing", Options{}, []string{"no etcd endpoint"}},
		{"no scheme", Options{Endpoints: []string{"192.0.2.1:2379"}}, []string{"192.0.2.1:2379"}},
		{"another scheme", Options{Endpoints: []string{"ftp://192.0.2.1"}}, []string{"http:// or https://"}},
		{"a path", Options{Endpoints: []string{"http://192.0.2.1:2379/v3"}}, []string{"not a scheme, a host and a port"}},
		{"TLS here and there", Options{Endpoints: append(plain, secure...)}, []string{"some endpoints use TLS"}},
		{"a CA without TLS is no CA", Options{Endpoints: plain, CAFile: rubbish}, []string{"of no use with http://"}},
		{"a CA that is none", Options{Endpoints: secure, CAFile: rubbish}, []string{"holds no certificate"}},
		{"a CA that is absent", Options{Endpoints: secure, CAFile: absent}, []string{absent}},
		{"half a certificate", Options{Endpoints: secure, CertFile: rubbish}, []string{"only together"}},
		{"a certificate that is none", Options{Endpoints: secure, CertFile: rubbish, KeyFile: rubbish}, []string{"client certificate"}},
		{"a user without a password", Options{Endpoints: plain, Username: "u"}, []string{"only together"}},
		{"an empty password", Options{Endpoints: plain, Username: "u", PasswordFile: empty}, []string{"is empty"}},
		{"a password that is absent", Options{Endpoints: plain, Username: "u", PasswordFile: absent}, []string{absent}},
		{"all at once", Options{Prefix: "network", DialTimeout: -1, Username: "u"}, []string{"no etcd endpoint", "prefix", "negative", "only together"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.options.Validate()
			if len(tt.want) == 0 {
				if err != nil {
					t.Errorf("got %v, want nil", err)
				}
				return
			}
			if !errors.Is(err, ErrBadOptions) {
				t.Fatalf("got %v, want an ErrBadOptions", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestThePasswordIsTheFirstLineOfItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	for _, text := range []string{"secret", "secret\n", "secret\r\nmore\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := (Options{PasswordFile: path}).password(); got != "secret" || err != nil {
			t.Errorf("file %q: got %q, %v", text, got, err)
		}
	}
}

// authority signs certificates for a test.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T, dir string) *authority {
	a := &authority{T: t, dir: dir}
	a.cert, a.key = a.sign("ca", &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign makes a certificate and writes it and its key to NAME.crt and NAME.key.
func (a *authority) sign(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	c.Subject, c.SerialNumber = pkix.Name{CommonName: name}, big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
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

func (a *authority) write(name, kind string, der []byte) {
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.Fatal(err)
	}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// secureEtcd runs an etcd with TLS, which the embedded one does not have.
func secureEtcd(t *testing.T, a *authority, clients bool) string {
	a.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	c := embed.NewConfig()
	c.Dir, c.UnsafeNoFsync, c.EnableGRPCGateway = t.TempDir(), true, false
	client, _ := url.Parse("https://127.0.0.1:0")
	peer, _ := url.Parse("http://127.0.0.1:0")
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = a.path("server.crt"), a.path("server.key")
	if clients {
		c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = a.path("ca.crt"), true
	}
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return "https://" + e.Clients[0].Addr().String()
}

func TestACAAloneIsEnoughForTLS(t *testing.T) {
	a := newAuthority(t, t.TempDir())
	endpoint := secureEtcd(t, a, false)
	if err := tryEtcd(t, Options{Endpoints: []string{endpoint}, CAFile: a.path("ca.crt")}); err != nil {
		t.Errorf("with the CA: got %v", err)
	}
	stranger := newAuthority(t, t.TempDir())
	if err := tryEtcd(t, Options{Endpoints: []string{endpoint}, CAFile: stranger.path("ca.crt")}); err == nil {
		t.Error("with another CA: got no error")
	}
	if err := tryEtcd(t, Options{Endpoints: []string{endpoint}}); err == nil {
		t.Error("with the system's CAs: got no error")
	}
}

func TestCertificatesRenewedOnDiskAreTakenUpWithoutARestart(t *testing.T) {
	a := newAuthority(t, t.TempDir())
	endpoint := secureEtcd(t, a, true)
	client := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	stranger := newAuthority(t, t.TempDir())
	stranger.sign("client", client)
	move := func(from *authority) {
		for _, name := range []string{"client.crt", "client.key"} {
			b, err := os.ReadFile(from.path(name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(a.path(name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	move(stranger)
	s, err := Dial(Options{
		Endpoints: []string{endpoint}, CAFile: a.path("ca.crt"),
		CertFile: a.path("client.crt"), KeyFile: a.path("client.key"), DialTimeout: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.get(t.Context(), configKey); err == nil {
		t.Fatal("with a stranger's certificate: got no error")
	}
	a.sign("client", client)
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	var p pacer
	for {
		if _, err = s.get(ctx, configKey); err == nil || !p.wait(ctx) {
			break
		}
	}
	if err != nil {
		t.Errorf("with our own in its place: got %v", err)
	}
}

func tryEtcd(t *testing.T, o Options) error {
	o.DialTimeout = 2 * time.Second
	s, err := Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.get(t.Context(), configKey)
	return err
}

func TestAUserLogsIn(t *testing.T) {
	e := startEtcd(t)
	for _, do := range []func() error{
		func() error { _, err := e.client.UserAdd(e.ctx, "root", "secret"); return err },
		func() error { _, err := e.client.UserGrantRole(e.ctx, "root", "root"); return err },
		func() error { _, err := e.client.UserAdd(e.ctx, "host", "word"); return err },
		func() error { _, err := e.client.RoleAdd(e.ctx, "network"); return err },
		func() error {
			_, err := e.client.RoleGrantPermission(e.ctx, "network", testPrefix, clientv3.GetPrefixRangeEnd(testPrefix), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := e.client.UserGrantRole(e.ctx, "host", "network"); return err },
		func() error { _, err := e.client.AuthEnable(e.ctx); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Dial(Options{Endpoints: []string{e.endpoint}, Username: "host", PasswordFile: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r := e.acquire(s, claim(1))
	e.run(r.Run)
	w := e.follow(s, 2, 0)
	w.routes(r.Subnet().String())

	if err := os.WriteFile(path, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad, err := Dial(Options{Endpoints: []string{e.endpoint}, Username: "host", PasswordFile: path})
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	if _, err := bad.Network(context.Background()); err == nil {
		t.Error("with a wrong password: got no error")
	}
}
