package etcdsync

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

const rootPassword, hostPassword = "secret", "word"

// startAuth starts an etcd whose users are those of sections of docs/etcd.md.
// g.client is the administrator's.
func startAuth(t *testing.T, setup func(*embed.Config), sections ...string) *guarded {
	t.Helper()
	g := startGuarded(t, "http", setup)
	g.client = g.as("", "", nil)
	for _, section := range append(append([]string{"root"}, sections...), "enable") {
		g.obey(section)
	}
	g.client = g.as("root", rootPassword, nil)
	return g
}

// obey carries out the etcdctl commands of a section of docs/etcd.md, as host
// number 7.
func (g *guarded) obey(section string) {
	g.Helper()
	page, err := os.ReadFile("../docs/etcd.md")
	if err != nil {
		g.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "<!-- commands: "+section+" -->\n")
	if !ok {
		g.Fatalf("docs/etcd.md has no commands %q", section)
	}
	values := strings.NewReplacer("$ROOT_PASSWORD", rootPassword, "$PASSWORD", hostPassword, "$NODE", claim(7).NodeID)
	commands := 0
	for line := range strings.Lines(strings.TrimLeft(text, "\n")) {
		command, isCommand := strings.CutPrefix(line, "    etcdctl ")
		if !isCommand {
			break
		}
		commands++
		if err := g.etcdctl(strings.Fields(values.Replace(command))); err != nil {
			g.Fatalf("%s: %v", command, err)
		}
	}
	if commands == 0 {
		g.Fatalf("docs/etcd.md: no commands under %q", section)
	}
}

// etcdctl does what the program would.
func (g *guarded) etcdctl(words []string) (err error) {
	var flags []string
	var args []string
	for _, w := range words {
		if strings.HasPrefix(w, "--") {
			flags = append(flags, w)
		} else {
			args = append(args, w)
		}
	}
	verb := strings.Join(args[:min(2, len(args))], " ")
	switch c := g.client; {
	case verb == "user add":
		_, err = c.UserAdd(g.ctx, args[2], strings.TrimPrefix(flags[0], "--new-user-password="))
	case verb == "user grant-role":
		_, err = c.UserGrantRole(g.ctx, args[2], args[3])
	case verb == "role add":
		_, err = c.RoleAdd(g.ctx, args[2])
	case verb == "role grant-permission":
		kind := clientv3.PermissionType(map[string]int32{"read": int32(clientv3.PermRead), "readwrite": int32(clientv3.PermReadWrite)}[args[3]])
		end := ""
		if len(flags) == 1 && flags[0] == "--prefix=true" {
			end = clientv3.GetPrefixRangeEnd(args[4])
		}
		_, err = c.RoleGrantPermission(g.ctx, args[2], args[4], end, kind)
	case verb == "auth enable":
		_, err = c.AuthEnable(g.ctx)
	case args[0] == "put":
		_, err = c.Put(g.ctx, args[1], strings.Trim(args[2], "'"))
	default:
		err = errors.New("a command that this test does not know")
	}
	return err
}

// user returns a Store of a user's, with its log and its password file.
func (g *guarded) user(name, password string) (s *Store, log *logBook, file string) {
	g.Helper()
	file = write(g, filepath.Join(g.TempDir(), "password"), password+"\n")
	s, log = g.dial(Options{Username: name, PasswordFile: file})
	return s, log, file
}

// Tokens run out, and are taken back when the password changes. Neither may cost
// a change.
func TestTokensAreReplaced(t *testing.T) {
	const life = 2 * time.Second // a token of the kind jwt lives up to a second less
	tests := []struct {
		name string
		auth func(*testing.T, *embed.Config)
	}{
		{"simple", func(_ *testing.T, c *embed.Config) { c.AuthToken, c.AuthTokenTTL = "simple", uint(life/time.Second) }},
		{"jwt", func(t *testing.T, c *embed.Config) {
			public, private := rsaKeys(t)
			c.AuthToken = fmt.Sprintf("jwt,pub-key=%s,priv-key=%s,sign-method=RS256,ttl=%s", public, private, life)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := startAuth(t, func(c *embed.Config) { tt.auth(t, c) }, "one role")
			s, log, file := g.user("uvtep", hostPassword)
			r := g.acquire(s, claim(1))
			g.run(r.Run)
			w := g.follow(s, 2, 0)
			w.routes(r.Subnet().String())
			key := subnetsDir + subnets{v4: r.Subnet()}.name()
			// moves writes an address of the host's, and waits until all know it.
			moves := func(to string) {
				t.Helper()
				r.Update(addr(to), netip.Addr{})
				w.until("with the host at "+to, func(t *Tables) bool { return t.FDB.Accepts(1, addr(to)) })
			}

			g.passed(time.Now().Add(life + time.Second))
			moves("198.51.100.1")
			if _, lease := g.value(key); lease == 0 {
				t.Error("the lease is lost")
			}
			if n, _ := log.count("token"); n > 0 {
				t.Errorf("a token that ran out was told of:\n%s", strings.Join(log.lines, ""))
			}

			if tt.name != "simple" {
				return // the rest is the same for all
			}
			if _, err := g.client.UserChangePassword(g.ctx, "uvtep", "other"); err != nil {
				t.Fatal(err)
			}
			r.Update(addr("198.51.100.3"), netip.Addr{})
			g.awaitLog(log, "the first line of --etcd-password-file, which is read at every attempt")
			g.put(leaseB, leaseOf(nodeB, "192.0.2.22", mac(22)))
			w.until("with a change of before the password is right", func(t *Tables) bool { _, ok := t.FDB.Lookup(1, mac(22)); return ok })
			write(t, file, "other\n")
			w.until("with the host at its last address", func(t *Tables) bool { return t.FDB.Accepts(1, addr("198.51.100.3")) })
			for _, tables := range w.published()[1:] {
				if tables.Routes.Len() == 0 {
					t.Errorf("tables at revision %d are empty", tables.Rev)
				}
			}
		})
	}
}

// rsaKeys writes a pair of keys for etcd's tokens.
func rsaKeys(t *testing.T) (public, private string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, kind string, der []byte) string {
		return write(t, filepath.Join(t.TempDir(), name), string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	return file("public.pem", "PUBLIC KEY", pub), file("private.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
}

func TestAWrongPasswordIsSaidAndReadAgain(t *testing.T) {
	g := startAuth(t, func(*embed.Config) {}, "one role")
	s, log, file := g.user("uvtep", "wrong")
	nobody, _ := g.dial(Options{})
	if _, err := nobody.get(g.ctx, configKey); err == nil || !strings.Contains(err.Error(), "etcd wants a user: set --etcd-username") {
		t.Errorf("without a user: got %v", err)
	}
	w := g.follow(s, 1, 0)
	g.awaitLog(log, "check --etcd-username and the first line of --etcd-password-file")
	write(t, file, hostPassword+"\n")
	w.routes()
	g.awaitLog(log, "etcd answers again")
}

// Each set of commands in docs/etcd.md lets an agent do its work and no more.
func TestTheRolesOfTheManualLetAHostDoItsWorkAndNoMore(t *testing.T) {
	c := claim(7)
	own, other := hostsDir+c.NodeID+"/", hostsDir+claim(8).NodeID+"/"
	tests := []struct {
		section, user   string
		allowed, denied []string // keys to write
	}{
		{"one role", "uvtep", []string{configKey, other + "host", "uvtep/static/1/02:00:00:00:00:01"}, []string{"../elsewhere"}},
		{"role per host", "uvtep-" + c.NodeID, []string{own + "endpoints/1/02:00:00:00:00:01", "subnets/10.10.99.0-24"},
			[]string{"../elsewhere", configKey, other + "host", other + "endpoints/1/02:00:00:00:00:01", "uvtep/static/1/02:00:00:00:00:01"}},
		{"role per host, reserved", "uvtep-" + c.NodeID, []string{own + "endpoints/1/02:00:00:00:00:01"},
			[]string{"../elsewhere", configKey, other + "host", "uvtep/static/1/02:00:00:00:00:01", "subnets/10.10.99.0-24"}},
	}
	for _, tt := range tests {
		t.Run(tt.section, func(t *testing.T) {
			g := startAuth(t, func(*embed.Config) {}, tt.section)
			network, err := c.Network.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			g.put(configKey, string(network))
			s, log, _ := g.user(tt.user, hostPassword)
			if _, err := s.WaitNetwork(g.ctx); err != nil {
				t.Fatal(err)
			}
			r := g.acquire(s, c)
			w := g.follow(s, 1, 0)
			w.routes(r.Subnet().String())
			stop := g.run(r.Run)
			r.Update(addr("198.51.100.7"), netip.Addr{})
			w.until("with the new address", func(t *Tables) bool { return t.FDB.Accepts(1, addr("198.51.100.7")) })
			stop()
			again := g.acquire(s, c)
			if again.Subnet() != r.Subnet() {
				t.Errorf("after a restart: got %s, want %s", again.Subnet(), r.Subnet())
			}
			list, err := s.Subnets(g.ctx)
			if err != nil || len(list) != 1 || list[0].Unanswered != "" || list[0].Life != Alive {
				t.Errorf("subnets: got %+v, %v", list, err)
			}
			if n, _ := log.count("etcd refuses"); n > 0 {
				t.Errorf("something was refused:\n%s", strings.Join(log.lines, ""))
			}
			agent := g.as(tt.user, hostPassword, nil)
			for _, key := range tt.allowed {
				if _, err := agent.Put(g.ctx, filepath.Clean(testPrefix+key), "{}"); err != nil {
					t.Errorf("write %s: got %v, want it allowed", key, err)
				}
			}
			for _, key := range tt.denied {
				if _, err := agent.Put(g.ctx, filepath.Clean(testPrefix+key), "{}"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
					t.Errorf("write %s: got %v, want it denied", key, err)
				}
			}
		})
	}
}

// A host whose role lacks something says so once, follows the others as
// before, and works as soon as it may.
func TestADeniedWriteIsSaidOnceAndCostsNothingElse(t *testing.T) {
	g := startAuth(t, func(*embed.Config) {}, "role per host")
	user, role := "uvtep-"+claim(7).NodeID, "uvtep-"+claim(7).NodeID
	s, log, _ := g.user(user, hostPassword)
	w := g.follow(s, 1, 0)
	w.routes()

	c := claim(8) // not the host of the role
	got := make(chan *Registration, 1)
	g.run(func(ctx context.Context) error {
		r, err := s.Acquire(ctx, c)
		if err == nil {
			got <- r
		}
		return err
	})
	g.awaitLog(log, "etcd refuses")
	const key = "uvtep/hosts/00000000000000000000000000000008/host"
	g.awaitLog(log, "write "+key+" to etcd: etcdserver: permission denied; the user's role in etcd lacks this: ")
	g.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.until("with a change by another host", func(t *Tables) bool { _, ok := t.FDB.Lookup(1, mac(2)); return ok })
	own := testPrefix + hostsDir + c.NodeID + "/"
	if _, err := g.client.RoleGrantPermission(g.ctx, role, own, clientv3.GetPrefixRangeEnd(own), clientv3.PermissionType(clientv3.PermReadWrite)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
	case <-g.ctx.Done():
		t.Fatal("the host did not register")
	}
	g.awaitLog(log, "etcd takes what we write again")
	if n, _ := log.count("etcd refuses"); n != 1 {
		t.Errorf("got %d lines, want 1:\n%s", n, strings.Join(log.lines, ""))
	}
	if n, _ := log.count("etcd does not answer"); n != 0 {
		t.Errorf("etcd was said to be away:\n%s", strings.Join(log.lines, ""))
	}
}

// A role that is taken away ends the watch when that begins again, here since
// etcd does, which loses the tokens too. What is known stays, and goes on when
// the role is back.
func TestARoleTakenAwayCostsWhatIsNewAlone(t *testing.T) {
	g := startAuth(t, func(*embed.Config) {}, "one role")
	s, log, _ := g.user("uvtep", hostPassword)
	w := g.follow(s, 1, 0)
	g.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.routes("10.10.2.0/24")
	if _, err := g.client.UserRevokeRole(g.ctx, "uvtep", "uvtep"); err != nil {
		t.Fatal(err)
	}
	g.stop()
	g.start()
	g.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.3", mac(3)))
	g.awaitLog(log, "permission denied; the user's role in etcd lacks this")
	if _, err := g.client.UserGrantRole(g.ctx, "uvtep", "uvtep"); err != nil {
		t.Fatal(err)
	}
	w.routes("10.10.2.0/24", "10.10.3.0/24")
	for _, tables := range w.published()[1:] {
		if tables.Routes.Len() == 0 {
			t.Errorf("tables at revision %d are empty", tables.Rev)
		}
	}
}

func TestARefusalIsToldOnceHoweverOftenItIsMet(t *testing.T) {
	var text strings.Builder
	o := outage{log: zerolog.New(&text)}
	for range 100 {
		o.failed(advised(fmt.Errorf("write: %w", rpctypes.ErrPermissionDenied)))
	}
	for i := range 100 {
		o.failed(fmt.Errorf("write %d: %w", i, rpctypes.ErrNoSpace))
	}
	if n := strings.Count(text.String(), "\n"); n != maxTold {
		t.Errorf("got %d lines, want %d:\n%s", n, maxTold, text.String())
	}
	o.accepted()
	o.accepted()
	if n := strings.Count(text.String(), "etcd takes what we write again"); n != 1 {
		t.Errorf("got the end of it %d times, want once", n)
	}
}

// With certificates and no user name etcd takes the certificate's common name.
func TestTheCommonNameOfACertificateIsTheUser(t *testing.T) {
	a := newAuthority(t)
	g := startTLS(t, a, true)
	g.client = g.as("", "", a.secrets())
	for _, section := range []string{"root", "one role", "enable"} {
		g.obey(section)
	}
	for _, name := range []string{"uvtep", "stranger"} {
		a.sign(name, time.Hour, x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	dial := func(name string) *Store {
		s, _ := g.dial(Options{CAFile: a.path("ca.crt"), CertFile: a.path(name + ".crt"), KeyFile: a.path(name + ".key")})
		return s
	}
	s := dial("uvtep")
	r := g.acquire(s, claim(1))
	g.follow(s, 2, 0).routes(r.Subnet().String())
	if _, err := dial("stranger").get(g.ctx, configKey); err == nil {
		t.Error("somebody without a role may read")
	}
}
