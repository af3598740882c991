//go:build linux

package lab

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// etcdProgram builds etcd once for all tests.
func etcdProgram(t testing.TB) string {
	t.Helper()
	needRoot(t)
	bin, err := BuildEtcd(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func TestEtcdIsBuiltAtTheRequiredVersionAndOnce(t *testing.T) {
	bin := etcdProgram(t)
	want, err := goCommand(patient(t), "list", "-m", "-f", "{{.Version}}", etcdModule)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(out); !strings.HasPrefix(got, "etcd Version: "+strings.TrimPrefix(want, "v")+"\n") {
		t.Errorf("got %q, want version %s", got, want)
	}
	before, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	again, err := BuildEtcd(patient(t))
	if err != nil || again != bin {
		t.Fatalf("got %q, error %v, want %q", again, err, bin)
	}
	if after, err := os.Stat(bin); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was built again, error %v", err)
	}
}

func TestEtcdIsBuiltWithoutNetwork(t *testing.T) {
	needRoot(t)
	etcdProgram(t) // fills the module cache if it has to
	objects, err := goCommand(patient(t), "env", "GOCACHE")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", objects)
	t.Setenv("GOPROXY", "off")
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	bin, err := BuildEtcd(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(bin, cache) {
		t.Errorf("got %s, want it below %s", bin, cache)
	}
}

func TestEtcdKeepsItsKeysWhenKilledAndAnswersWhenResumed(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	members, err := l.StartEtcd(patient(t), etcdProgram(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	e := members[0]
	if got, want := l.EtcdURLs(), []string{"http://192.0.2.201:2379"}; !cmp.Equal(got, want) {
		t.Errorf("got URLs %v, want %v", got, want)
	}
	put := func(key, value string) {
		t.Helper()
		if err := l.Put(patient(t), key, value); err != nil {
			t.Fatal(err)
		}
	}
	put("/a/1", "one")
	put("/a/2", "\x00binary\xff")
	put("/b", "beside")
	e.Kill()
	if !e.Process.Ended() {
		t.Error("killed, it still runs")
	}
	if err := l.Put(patient(t), "/a/3", ""); err == nil {
		t.Error("a dead etcd took a key")
	}
	if err := e.Restart(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := e.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := e.Resume(); err != nil {
		t.Fatal(err)
	}
	got, err := l.List(patient(t), "/a/")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"/a/1": "one", "/a/2": "\x00binary\xff"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := l.Delete(patient(t), "/a/1"); err != nil {
		t.Fatal(err)
	}
	if got, err = l.List(patient(t), "/a/1"); err != nil || len(got) > 0 {
		t.Errorf("deleted: got %v, error %v", got, err)
	}
	url, err := l.EtcdForward()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url + "/version")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestEtcdClusterSurvivesTheLossOfOne(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	members, err := l.StartEtcd(patient(t), etcdProgram(t), 3)
	if err != nil {
		t.Fatal(err)
	}
	members[0].Kill()
	if err := members[1].waitHealthy(patient(t)); err != nil { // a leader again
		t.Fatal(err)
	}
	if err := l.Put(patient(t), "/k", "v"); err != nil {
		t.Error(err)
	}
	if err := members[0].Restart(patient(t)); err != nil {
		t.Error(err)
	}
	if _, err := l.StartEtcd(patient(t), etcdProgram(t), 1); err == nil {
		t.Error("a second cluster was started")
	}
}

func TestAgentsAreToldWhereEtcdIs(t *testing.T) {
	l := newLab(t, Config{Hosts: 2})
	embedded := []string{"--network", "10.10.0.0/16", "--embedded-etcd", "--embedded-etcd-listen", "http://192.0.2.1:2379"}
	if got := strings.Join(l.Hosts[0].AgentArgs(), " "); !strings.HasSuffix(got, strings.Join(embedded, " ")) {
		t.Errorf("first host: got %s", got)
	}
	if got := strings.Join(l.Hosts[1].AgentArgs(), " "); !strings.HasSuffix(got, "--etcd-endpoints http://192.0.2.1:2379") {
		t.Errorf("second host: got %s", got)
	}
	if _, err := l.StartEtcd(patient(t), etcdProgram(t), 1); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(l.Hosts[0].AgentArgs(), " ")
	if !strings.HasSuffix(got, "--etcd-endpoints http://192.0.2.201:2379 --network 10.10.0.0/16") {
		t.Errorf("first host with etcd outside: got %s", got)
	}
}

func TestListRefusesNoPrefix(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	if _, err := l.List(patient(t), ""); err == nil || errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestEtcdTellsWhoLeadsAndWhatHappened(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	ctx := patient(t)
	members, err := l.StartEtcd(ctx, etcdProgram(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := members[0].Status(ctx); err != nil || !s.Leads || !s.Led {
		t.Errorf("the only member leads: got %+v, %v", s, err)
	}
	for _, err := range []error{l.Put(ctx, "/a", "1"), l.Put(ctx, "/b", "2"), l.Delete(ctx, "/a")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := l.History(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []Event{{"/a", "1", false, 2}, {"/b", "2", false, 3}, {"/a", "", true, 4}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := l.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := l.History(ctx); err == nil {
		t.Errorf("after the compaction: got %v, want an error", got)
	}
}
