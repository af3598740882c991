package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
)

// The etcd program with all it has against strangers: TLS both ways, users and
// short-lived tokens. Agents and commands get through with the flags for it.
func TestEtcdWithTLSAndUsers(t *testing.T) {
	l, ctx := newLab(t, lab.Config{})
	s := startSecureEtcd(ctx, t, l.Hosts[0])
	agents := l.Hosts[1:]
	for i, h := range agents {
		subnet := fmt.Sprintf("10.10.%d.0/24", h.ID)
		args := s.flags("run", "--network", "10.10.0.0/16", "--subnet", subnet, "--state-dir", h.StateDir,
			"--subnet-file", h.SubnetFile, "--admin-socket", h.AdminSocket, "--tap", h.TAP)
		p, err := h.Start(program, args...)
		must(t, err)
		h.Agent = p
		must(t, p.WaitOutput(ctx, "Running backend"))
		h.Subnet, h.MTU = netip.MustParsePrefix(fmt.Sprintf("10.10.%d.1/24", h.ID)), 1450
		if i > 0 {
			must(t, agents[0].Agent.WaitOutput(ctx, "adding subnet: "+subnet))
		}
		must(t, h.AddContainers(ctx, 1))
	}
	must(t, agents[1].Agent.WaitOutput(ctx, "adding subnet: 10.10.2.0/24"))
	connected(ctx, t, l)

	run := func(args ...string) *lab.Process {
		t.Helper()
		p, err := agents[0].Start(program, args...)
		must(t, err)
		_ = p.Wait(ctx)
		return p
	}
	if p := run(s.flags("subnets")...); p.ExitCode() != 0 || strings.Count(p.Output(), "10.10.") != 2 {
		t.Errorf("uvtep subnets: got status %d and\n%s", p.ExitCode(), p.Output())
	}
	if p := run(s.flags("network", "show")...); p.ExitCode() != 0 || !strings.Contains(p.Output(), "10.10.0.0/16") {
		t.Errorf("uvtep network show: got status %d and\n%s", p.ExitCode(), p.Output())
	}
	must(t, os.WriteFile(s.path("password"), []byte("wrong\n"), 0o600))
	if p := run(s.flags("subnets")...); p.ExitCode() != 1 || !strings.Contains(p.Output(), "check --etcd-username and the first line of --etcd-password-file") {
		t.Errorf("with a wrong password: got status %d and\n%s", p.ExitCode(), p.Output())
	}
	for _, h := range agents {
		if strings.Contains(h.Agent.Output(), "etcd refuses") || strings.Contains(h.Agent.Output(), "does not answer") {
			t.Errorf("%s had trouble with etcd:\n%s", h.Name, h.Agent.Tail(20))
		}
	}
	must(t, os.WriteFile(s.path("password"), []byte(secureWord+"\n"), 0o600))

	// The tokens of the start are no good any more when this is told.
	eventually(ctx, t, "the tokens ran out", func() (bool, string) { return time.Since(s.started) > 2*secureTokenLife, "" })
	s.ask(ctx, "kv/put", map[string]any{
		"key":   []byte(prefix + "/subnets/10.10.77.0-24"),
		"value": []byte(`{"PublicIP":"192.0.2.60","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:77"}}`),
	})
	for _, h := range agents {
		must(t, h.Agent.WaitOutput(ctx, "adding subnet: 10.10.77.0/24"))
	}
	must(t, agents[1].Agent.Stop(ctx))
	p, err := agents[1].Start(program, s.flags("run", "--state-dir", agents[1].StateDir,
		"--subnet-file", agents[1].SubnetFile, "--admin-socket", agents[1].AdminSocket, "--tap", agents[1].TAP)...)
	must(t, err)
	agents[1].Agent = p
	must(t, p.WaitOutput(ctx, "Running backend"))
	connected(ctx, t, l)
}

const (
	secureWord      = "word"
	secureTokenLife = time.Second
)

// secureEtcd is an etcd with TLS and users, and who speaks to it as its
// administrator.
type secureEtcd struct {
	testing.TB
	dir, url string
	client   *http.Client
	token    string
	started  time.Time // users are in force
}

func (s *secureEtcd) path(name string) string { return filepath.Join(s.dir, name) }

// flags is a command line of uvtep with all flags for etcd.
func (s *secureEtcd) flags(args ...string) []string {
	return append(args,
		"--etcd-endpoints", s.url, "--etcd-cafile", s.path("ca.crt"), "--etcd-certfile", s.path("client.crt"), "--etcd-keyfile", s.path("client.key"),
		"--etcd-username", "uvtep", "--etcd-password-file", s.path("password"))
}

func startSecureEtcd(ctx context.Context, t testing.TB, h *lab.Host) *secureEtcd {
	t.Helper()
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	s := &secureEtcd{TB: t, dir: t.TempDir(), url: "https://" + netip.AddrPortFrom(h.Addr, 2379).String()}
	s.certify(h.Addr)
	must(t, os.WriteFile(s.path("password"), []byte(secureWord+"\n"), 0o600))
	p, err := h.Start(bin, "--data-dir", s.path("data"), "--log-level", "warn", "--unsafe-no-fsync",
		"--listen-client-urls", s.url, "--advertise-client-urls", s.url, "--listen-peer-urls", "http://127.0.0.1:2380",
		"--cert-file", s.path("server.crt"), "--key-file", s.path("server.key"), "--trusted-ca-file", s.path("ca.crt"), "--client-cert-auth",
		"--auth-token", "simple", "--auth-token-ttl", fmt.Sprint(int(secureTokenLife.Seconds())))
	must(t, err)
	s.client = s.speaker(h.Node)
	eventually(ctx, t, "etcd serves", func() (bool, string) {
		if p.Ended() {
			t.Fatalf("etcd ended:\n%s", p.Tail(20))
		}
		_, err := s.post(ctx, "maintenance/status", map[string]any{})
		return err == nil, p.Tail(5)
	})
	for _, step := range []struct {
		method string
		body   map[string]any
	}{
		{"auth/user/add", map[string]any{"name": "root", "password": "secret"}},
		{"auth/user/grant", map[string]any{"user": "root", "role": "root"}},
		{"auth/role/add", map[string]any{"name": "uvtep"}},
		{"auth/role/grant", map[string]any{"name": "uvtep", "perm": map[string]any{"permType": "READWRITE", "key": []byte(prefix + "/"), "range_end": []byte(prefix + "0")}}},
		{"auth/user/add", map[string]any{"name": "uvtep", "password": secureWord}},
		{"auth/user/grant", map[string]any{"user": "uvtep", "role": "uvtep"}},
		{"auth/enable", map[string]any{}},
	} {
		s.ask(ctx, step.method, step.body)
	}
	s.started = time.Now()
	return s
}

// ask makes a request, as the administrator when users are in force: again when
// the token ran out before etcd saw it.
func (s *secureEtcd) ask(ctx context.Context, method string, body map[string]any) {
	s.Helper()
	for {
		s.login(ctx)
		_, err := s.post(ctx, method, body)
		if err == nil || !strings.Contains(err.Error(), "invalid auth token") {
			must(s, err)
			return
		}
	}
}

// login takes a token when users are in force.
func (s *secureEtcd) login(ctx context.Context) {
	s.Helper()
	if s.started.IsZero() {
		return
	}
	b, err := s.post(ctx, "auth/authenticate", map[string]any{"name": "root", "password": "secret"})
	var answer struct{ Token string }
	must(s, err, json.Unmarshal(b, &answer))
	s.token = answer.Token
}

func (s *secureEtcd) post(ctx context.Context, method string, body map[string]any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v3/"+method, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", s.token)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", method, resp.Status, answer)
	}
	return answer, err
}

// speaker speaks HTTPS from within a node, with a certificate of its own.
func (s *secureEtcd) speaker(n *lab.Node) *http.Client {
	cert, err := tls.LoadX509KeyPair(s.path("nobody.crt"), s.path("nobody.key"))
	must(s, err)
	ca, err := os.ReadFile(s.path("ca.crt"))
	must(s, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{
		DialContext: n.Dial, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}}
}

// certify writes an authority, and the certificates that it signed: of a server,
// a client, and a client without a name, since etcd's gateway takes no others.
func (s *secureEtcd) certify(at netip.Addr) {
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca, key := s.sign("ca", ca, nil, nil)
	s.sign("server", &x509.Certificate{
		IPAddresses: []net.IP{at.AsSlice()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, // etcd's gateway is its own client
	}, ca, key)
	for name, common := range map[string]string{"client": "uvtep", "nobody": ""} {
		s.sign(name, &x509.Certificate{Subject: pkix.Name{CommonName: common}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca, key)
	}
}

func (s *secureEtcd) sign(name string, c, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(s, err)
	if parent == nil {
		parent, signer = c, key
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	must(s, err)
	raw, err := x509.MarshalECPrivateKey(key)
	must(s, err)
	must(s, os.WriteFile(s.path(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(s, os.WriteFile(s.path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), 0o600))
	signed, err := x509.ParseCertificate(der)
	must(s, err)
	return signed, key
}
