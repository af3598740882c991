package etcdsync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// sampleCache is the cache of a world with one key of each kind.
func sampleCache(t testing.TB) ([]byte, *world) {
	w := newWorld(t)
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.put(hostKey(nodeB), "{\n \"PublicIP\": \"192.0.2.2\", \"VNIs\": [1]\n}\n") // more than one line
	w.put(hostsDir+nodeB+"/endpoints/1/"+mac(20).String(), `{"IPs":["10.10.2.7"],"Seq":3}`)
	w.put("uvtep/static/1/"+mac(21).String(), `{"IPs":["10.10.2.8"],"VTEP":"192.0.2.2"}`)
	w.put(leaseB, leaseOf(nodeB, "192.0.2.22", mac(2)))
	b := written(t, newSnapshot(cacheHead{Prefix: testPrefix, Node: testConfig().NodeID, Cluster: 1<<64 - 1, Rev: w.h.rev, Heard: time.Unix(1769860800, 0).UTC()}, &w.in.board.rows))
	return b, w
}

// written is what writes itself.
func written(t testing.TB, s io.WriterTo) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Errorf("wrote %d of %d bytes: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestACacheHoldsWhatTheTablesWereMadeOf(t *testing.T) {
	b, w := sampleCache(t)
	c, err := parseCache(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	want := cacheHead{Format: 1, Prefix: testPrefix, Node: testConfig().NodeID, Cluster: 1<<64 - 1, Rev: w.h.rev, Heard: time.Unix(1769860800, 0).UTC(), Keys: 4}
	if c.cacheHead != want {
		t.Errorf("head: got %+v, want %+v", c.cacheHead, want)
	}
	again := newWorld(t)
	if err := c.keys(func(k *cachedKey) { again.in.put(k.Key, k.kv()) }); err != nil || len(again.in.bad) > 0 {
		t.Errorf("%v; keys that cannot be used: %v", err, again.in.bad)
	}
	if diff := cmp.Diff(viewOf(again.tables()), viewOf(w.tables()), cmpNetip, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("tables, got- want+:\n%s", diff)
	}
	for r := range w.in.board.rows.all() {
		if q := again.in.board.rows.get(r.name()); q == nil || q.rev != r.rev || q.created != r.created {
			t.Errorf("%s: got %+v, want %+v", r.name(), q, r)
		}
	}
}

func TestADamagedCacheIsRefused(t *testing.T) {
	b, _ := sampleCache(t)
	for i := range b {
		if _, err := parseCache(bytes.NewReader(b[:i])); err == nil {
			t.Fatalf("the first %d of %d bytes: no error", i, len(b))
		}
		broken := bytes.Clone(b)
		broken[i] ^= 4
		if c, err := parseCache(bytes.NewReader(broken)); err == nil {
			t.Fatalf("byte %d changed: no error but %+v", i, c)
		}
	}
}

func TestACacheOfALaterFormatIsRefusedOfTheNextOneRead(t *testing.T) {
	good, _ := sampleCache(t)
	for format, fine := range map[string]bool{"1": true, "2": true, "3": false, "0": false} {
		body, _, _ := strings.Cut(string(good), sumWord)
		body = strings.Replace(body, `{"Format":1,`, `{"Format":`+format+`,"New":"field",`, 1)
		_, err := parseCache(bytes.NewReader(withSum(body)))
		if (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "format "+format) {
			t.Errorf("format %s: got error %v, want one: %v", format, err, !fine)
		}
	}
	if _, err := parseCache(bytes.NewReader(withSum(`{"Format":1,"Keys":2}` + "\n" + `{"Key":"a","Value":{}}` + "\n"))); err == nil {
		t.Error("a cache with a key too few: no error")
	}
}

// Lines that are not as they are written here, by a later uvtep perhaps, say what
// they say in JSON, and what is no JSON is refused.
func TestACachesLinesAreJSON(t *testing.T) {
	head := `{"Format":1,"Keys":1}` + "\n"
	for line, want := range map[string]cachedKey{
		`{"Key":"a","Created":1,"Rev":2,"Value":{}}`:              {"a", 1, 2, []byte(`{}`)},
		`{"Key":"\u0061","Created":1,"Rev":2,"Value":{}}`:         {"a", 1, 2, []byte(`{}`)},
		`{"Value":[1, 2],"Rev":2,"Key":"a","New":3,"Created":1}`:  {"a", 1, 2, []byte(`[1, 2]`)},
		`{"Key":"a","Created":01,"Rev":2,"Value":{}}`:             {},
		`{"Key":"a","Created":1,"Rev":2,"Value":{]}`:              {},
		`{"Key":"a","Created":1,"Rev":2,"Value":{}} and the rest`: {},
		`nothing`: {},
	} {
		var got []cachedKey
		c, err := parseCache(bytes.NewReader(withSum(head + line + "\n")))
		if err == nil && want.Key != "" {
			err = c.keys(func(k *cachedKey) {
				k.Value = bytes.Clone(k.Value)
				got = append(got, *k)
			})
		}
		if want.Key == "" {
			if err == nil {
				t.Errorf("%s: no error", line)
			}
			continue
		}
		if diff := cmp.Diff(got, []cachedKey{want}); err != nil || diff != "" {
			t.Errorf("%s: %v, got- want+:\n%s", line, err, diff)
		}
	}
}

// failing fails to read beyond some bytes.
type failing struct {
	*bytes.Reader
	after int64
}

var errDisk = errors.New("the disk fails")

func (f failing) Read(b []byte) (int, error) {
	at, _ := f.Seek(0, io.SeekCurrent)
	if at >= f.after && at < f.Size()-int64(sumLen) {
		return 0, errDisk
	}
	return f.Reader.Read(b[:min(len(b), 16)])
}

func TestACacheThatCannotBeReadIsRefused(t *testing.T) {
	b, _ := sampleCache(t)
	for _, after := range []int64{0, 20, 300} {
		if _, err := parseCache(failing{bytes.NewReader(b), after}); !errors.Is(err, errDisk) {
			t.Errorf("after %d bytes: got %v", after, err)
		}
	}
	c, err := parseCache(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c.text = failing{bytes.NewReader(b), 300}
	if err := c.keys(func(*cachedKey) {}); !errors.Is(err, errDisk) {
		t.Errorf("the second time: got %v", err)
	}
}

func FuzzParseCache(f *testing.F) {
	b, _ := sampleCache(f)
	body, _, _ := strings.Cut(string(b), sumWord)
	f.Add(body)                                 // as it is written
	f.Add(`{"Format":1,"Keys":0}` + "\n")       // nothing
	f.Add(`{"Format":1,"Keys":1}` + "\nnull\n") // a key that is none
	f.Fuzz(func(t *testing.T, body string) {
		c, err := parseCache(bytes.NewReader(withSum(body)))
		if err != nil {
			return
		}
		w := newWorld(t)
		if err := c.keys(func(k *cachedKey) { w.in.put(k.Key, k.kv()) }); err != nil {
			t.Fatal(err)
		}
		again := written(t, newSnapshot(c.cacheHead, &w.in.board.rows))
		if _, err := parseCache(bytes.NewReader(again)); err != nil {
			t.Fatalf("what was read is written so that it cannot be read: %v\n%s", err, again)
		}
	})
}

// An agent that starts while etcd is away forwards from what it knew, and when
// etcd answers, all that changed meanwhile is put right: the new, the changed
// and the gone.
func TestAStartWithoutEtcdForwardsFromTheLastTables(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	for i, sub := range []string{"2", "3", "4"} {
		e.put("subnets/10.10."+sub+".0-24", leaseOf("", "192.0.2."+sub, mac(byte(i+2))))
	}
	w := e.follow(s, 1, 0)
	w.routes("10.10.2.0/24", "10.10.3.0/24", "10.10.4.0/24")
	last := w.cache()

	e.del("subnets/10.10.3.0-24")
	e.put("subnets/10.10.4.0-24", leaseOf("", "192.0.2.44", mac(44)))
	e.put("subnets/10.10.5.0-24", leaseOf("", "192.0.2.5", mac(5)))
	e.stop()
	began := time.Now()
	s, log := e.store()
	w = e.followFrom(last, s, 1, 0)
	old := w.routes("10.10.2.0/24", "10.10.3.0/24", "10.10.4.0/24")
	if old.StaleSince.IsZero() || old.StaleSince.After(began) || len(old.Changed) != 0 {
		t.Errorf("stale since %v, %d changes; want a time before %v and none", old.StaleSince, len(old.Changed), began)
	}
	e.awaitLog(log, "forwarding from the tables of the last run until etcd answers")
	e.start()
	now := w.routes("10.10.2.0/24", "10.10.4.0/24", "10.10.5.0/24")
	if !now.StaleSince.IsZero() {
		t.Errorf("tables that etcd confirmed are stale since %v", now.StaleSince)
	}
	if entry, _ := now.FDB.Lookup(1, mac(44)); entry.VTEP == nil || entry.VTEP.To.String() != "192.0.2.44:4789" {
		t.Errorf("got %+v for the host that moved", entry)
	}
	if n := len(now.Changed); n != 2 {
		t.Errorf("%d bindings to announce, want that of the host that moved and of the new one", n)
	}
}

func TestTablesThatEtcdConfirmsAreNoLongerStale(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	e.put(leaseB, leaseOf("", "192.0.2.2", mac(2)))
	w := e.follow(s, 1, 0)
	w.routes("10.10.2.0/24")
	s2, _ := e.store()
	e.followFrom(w.cache(), s2, 1, 0).until("that are not stale", func(t *Tables) bool { return t.StaleSince.IsZero() })
}

// An etcd that was lost and filled again has other values at the revisions that
// are known.
func TestACacheOfAnotherHistoryIsReadOver(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	e.put(leaseB, leaseOf("", "192.0.2.2", mac(2)))
	w := e.follow(s, 1, 0)
	w.routes("10.10.2.0/24")
	last := w.cache()
	e.wipe()
	e.put(leaseB, leaseOf("", "192.0.2.22", mac(22))) // the same revision
	for range 10 {
		e.put("uvtep/future", "grown") // beyond the cache's
	}
	s, _ = e.store()
	e.followFrom(last, s, 1, 0).until("with the other value", func(t *Tables) bool {
		_, ok := t.FDB.Lookup(1, mac(22))
		return ok && t.FDB.Len() == 1
	})
}

func TestACacheOfAnotherHostOrNetworkIsNoHelp(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	e.put(leaseB, leaseOf("", "192.0.2.2", mac(2)))
	w := e.follow(s, 1, 0)
	w.routes("10.10.2.0/24")
	last := w.cache()
	e.put("subnets/10.10.3.0-24", leaseOf("", "192.0.2.3", mac(3)))
	s2, log := e.store()
	w2 := e.followFrom(last, s2, 4, 0)
	e.awaitLog(log, "tables of the last run are of another network or another host")
	w2.routes("10.10.2.0/24", "10.10.3.0/24")
	if first := w2.published()[0]; first.Routes.Len() != 2 {
		t.Errorf("the first tables have %d routes, want both of etcd's", first.Routes.Len())
	}
	s3, log3 := e.store()
	w3 := e.followFrom(bytes.Replace(last, []byte("192.0.2.2"), []byte("192.0.2.9"), 1), s3, 1, 0)
	e.awaitLog(log3, "tables of the last run cannot be used")
	w3.routes("10.10.2.0/24", "10.10.3.0/24")
}

// What changes is kept while the agent runs, and not at its end alone: it may
// be killed.
func TestChangesAreKeptWhileTheAgentRuns(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	w := e.follow(s, 1, 0)
	w.routes()
	kept := func(text string) func() bool {
		return func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return bytes.Contains(w.saved, []byte(text))
		}
	}
	e.eventually("what the first list brought to be kept", kept(`"Keys":0`))
	e.put(leaseB, leaseOf("", "192.0.2.2", mac(2)))
	e.eventually("the change to be kept", kept(leaseB))
}

// An agent whose own addresses changed begins afresh with what it has, which is
// not out of date.
func TestTablesOfThisRunAreNotStale(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	e.put(leaseB, leaseOf("", "192.0.2.2", mac(2)))
	w := e.follow(s, 1, 0)
	w.routes("10.10.2.0/24")
	last := w.cache()
	e.stop()
	s, log := e.store()
	w = &spectator{testEtcd: e, changed: make(chan struct{})}
	c := claim(1)
	w.stop = e.run(func(ctx context.Context) error {
		return s.Follow(ctx, FollowConfig{Network: c.Network, NodeID: c.NodeID, MAC: c.MAC, Publish: w.publish, Last: opened(last), Resumed: true})
	})
	if got := w.routes("10.10.2.0/24"); !got.StaleSince.IsZero() {
		t.Errorf("stale since %v", got.StaleSince)
	}
	if n, _ := log.count("tables of the last run"); n != 0 {
		t.Error("they were told of as those of the last run")
	}
}

// What changed just before etcd went is kept, although no session goes on.
func TestAChangeJustBeforeEtcdGoesIsKept(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	w := e.follow(s, 1, 0)
	w.routes()
	e.put(leaseB, leaseOf("", "192.0.2.2", mac(2)))
	w.routes("10.10.2.0/24")
	e.stop()
	e.eventually("the change to be kept", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return bytes.Contains(w.saved, []byte(leaseB))
	})
}

// Tables that etcd has not confirmed are no better than those on disk.
func TestTablesOfTheLastRunAreNotKeptAgain(t *testing.T) {
	b, _ := sampleCache(t)
	s, err := Dial(Options{Endpoints: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{origins: new(Origins), store: s, in: newWorld(t).in, due: newTimer(), keep: newTimer(), publish: func(*Tables) {}, keeper: newCacheKeeper(nil)}
	f.recall(opened(b), false)
	f.cache()
	if len(f.keeper.next) != 0 {
		t.Error("kept again")
	}
	f.stale = false
	f.cache()
	if len(f.keeper.next) != 1 {
		t.Error("not kept when etcd has confirmed them")
	}
}

func TestAStartWithoutEtcdKeepsTheLastSubnet(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	c := claim(1)
	before := e.acquire(s, c).Subnet()
	e.stop()

	s, log := e.store()
	c.Previous, c.Grace = before, 100*time.Millisecond
	r := e.acquire(s, c)
	if r.Subnet() != before || !r.Expires().IsZero() {
		t.Fatalf("got %s, expires %v; want %s, which etcd has not confirmed", r.Subnet(), r.Expires(), before)
	}
	e.awaitLog(log, "etcd does not answer; starting as in the last run")
	e.run(r.Run)
	e.wipe() // everything is lost: the host brings its subnet back
	e.await(subnetsDir+subnets{v4: before}.name(), 1, func(value string, _ clientv3.LeaseID) bool { return strings.Contains(value, c.NodeID) })
	e.eventually("the registration to know", func() bool { return !r.Expires().IsZero() })
}

func TestAStartWithoutEtcdWaitsWithoutASubnetThatFits(t *testing.T) {
	e := startEtcd(t)
	e.stop()
	for _, previous := range []string{"", "10.99.0.0/24", "10.10.7.0/25"} {
		s, _ := e.store()
		c := claim(1)
		c.Grace = time.Millisecond
		if previous != "" {
			c.Previous = prefix(previous)
		}
		ctx, cancel := context.WithTimeout(e.ctx, 300*time.Millisecond)
		if r, err := s.Acquire(ctx, c); err == nil || ctx.Err() == nil {
			t.Errorf("previous %q: got %v, %v before the time was over", previous, r, err)
		}
		cancel()
	}
}

// A start that took the network of the last run for granted hears at once that
// etcd has another, also one that has no subnet to go on with.
func TestAStartHearsThatTheNetworkIsAnother(t *testing.T) {
	e := startEtcd(t)
	e.put(configKey, `{"Network":"10.77.0.0/16","Backend":{"Type":"vxlan","VNI":7}}`)
	for _, previous := range []netip.Prefix{{}, prefix("10.10.7.0/24")} {
		s, _ := e.store()
		c := claim(1)
		c.Unconfirmed, c.Previous, c.Grace = true, previous, time.Minute
		ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
		if r, err := s.Acquire(ctx, c); !errors.Is(err, ErrOutdated) {
			t.Errorf("previous %v: got %v, %v", previous, r, err)
		}
		cancel()
	}
	if keys := e.names(""); !slices.Equal(keys, []string{configKey}) {
		t.Errorf("written for the network of before: %v", keys)
	}
}

// What is read without JSON's reader is what that reads.
func FuzzCachedKey(f *testing.F) {
	for _, line := range []string{
		`{"Key":"subnets/10.10.2.0-24","Created":17,"Rev":18,"Value":{"PublicIP":"192.0.2.2"}}`, // as it is written
		`{"Key":"a","Created":1,"Rev":2,"Value":{},"New":3}`,                                    // of the next format
		`{"Key":"a","Created":1,"Rev":2,"Value":1},"Key":"b"}`,                                  // two in one
		`{"Key":"a\u0062","Created":1,"Rev":2,"Value":null}`,
		`{"Key":"a","Created":01,"Rev":+2,"Value":1}`,
		`{"Key":"a","Created":1,"Rev":99999999999999999999,"Value":1}`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var got, want cachedKey
		if !got.cut([]byte(line + "\n")) {
			return
		}
		if err := json.Unmarshal([]byte(line), &want); err != nil || got.Key != want.Key || got.Rev != want.Rev ||
			got.Created != want.Created || !bytes.Equal(bytes.TrimSpace(got.Value), want.Value) {
			t.Errorf("%q: got %+v, want %+v, %v", line, got, want, err)
		}
	})
}

// withSum returns a cache with the checksum that it should have.
func withSum(body string) []byte {
	sum := sha256.Sum256([]byte(body))
	return []byte(body + sumWord + hex.EncodeToString(sum[:]) + "\n")
}

// A rebuilt etcd may know other values for the keys of the cache; those count,
// and only what it lacks is doubted.
func TestACacheGivesWayToAnEtcdThatWasMadeAnew(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	for range 10 {
		e.put("uvtep/future", "grown")
	}
	for i := range 4 {
		e.put(fmt.Sprintf("subnets/10.10.%d.0-24", i+2), leaseOf("", fmt.Sprintf("192.0.2.%d", i+2), mac(byte(i+2))))
	}
	w := e.follow(s, 1, 0)
	w.routes("10.10.2.0/24", "10.10.3.0/24", "10.10.4.0/24", "10.10.5.0/24")
	last := w.cache()
	e.wipe()
	e.put(leaseB, leaseOf("", "192.0.2.22", mac(22)))
	s, log := e.store()
	w = e.followFrom(last, s, 1, time.Hour)
	got := w.until("with the new value", func(t *Tables) bool { _, ok := t.FDB.Lookup(1, mac(22)); return ok })
	if got.Routes.Len() != 4 {
		t.Errorf("%d routes, want the three that etcd lacks too: they are doubted", got.Routes.Len())
	}
	e.awaitLog(log, "etcd lacks much of what it had")
}

func TestTablesOfTheLastRunArePublishedBeforeEtcdIsAsked(t *testing.T) {
	b, w := sampleCache(t)
	s, err := Dial(Options{Endpoints: []string{"http://127.0.0.1:1"}}) // connects when it is asked something
	if err != nil {
		t.Fatal(err)
	}
	var got []*Tables
	f := &follower{origins: new(Origins), store: s, in: newWorld(t).in, due: newTimer(), keep: newTimer(), publish: func(t *Tables) { got = append(got, t) }}
	f.recall(opened(b), false)
	if len(got) != 1 || got[0].Rev != w.h.rev || got[0].FDB.Len() != w.tables().FDB.Len() || got[0].StaleSince.IsZero() {
		t.Errorf("published %+v, want the tables of the last run, once", got)
	}
}
