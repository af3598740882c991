package etcdsync

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/uvtep/uvtep/encap/ether"
)

// What a row was made of must come out of it again byte for byte: lists are
// compared with it, and the next start begins with it.
func TestARowKnowsItsNameAndItsValue(t *testing.T) {
	since := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	spelled := func(v endpointValue) string {
		b, err := v.marshal()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	station := hostsDir + nodeB + "/endpoints/1/" + mac(20).String()
	for _, tt := range []struct {
		name, key, value string
		kept             bool // the text itself
	}{
		{"a lease", leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)), true},
		{"a host", hostKey(nodeB), hostOf("192.0.2.2"), true},
		{"a static entry", staticKey(7, mac(20)), `{"IPs":["10.10.2.7"],"VTEP":"192.0.2.2"}`, true},
		{"an endpoint as the documents have it", station, `{"IPs":["10.10.2.7","fd00::7"],"Seq":18446744073709551615}`, false},
		{"an endpoint as hosts write it", station, spelled(endpointValue{ips: newAddrs(addr("10.10.2.7")).list(), seq: 3, since: since}), false},
		{"an endpoint without addresses", station, spelled(endpointValue{since: since}), false},
		{"an endpoint that does not tell since when", station, spelled(endpointValue{ips: newAddrs(addr("fe80::1")).list()}), false},
		{"since the beginning of time", station, `{"IPs":[],"Seq":0,"Since":"1970-01-01T00:00:00Z"}`, false},
		{"since long ago", station, `{"IPs":[],"Seq":0,"Since":"1969-12-31T23:59:59Z"}`, true},
		{"since some day", station, `{"IPs":[],"Seq":0,"Since":"2106-02-07T06:28:16Z"}`, true},
		{"since a fraction of a second", station, `{"IPs":[],"Seq":0,"Since":"2026-01-31T12:00:00.5Z"}`, true},
		{"in another place's time", station, `{"IPs":[],"Seq":0,"Since":"2026-01-31T13:00:00+01:00"}`, true},
		{"since no time", station, `{"IPs":[],"Seq":0,"Since":"0001-01-01T00:00:00Z"}`, true},
		{"another order", station, `{"Seq":0,"IPs":[]}`, true},
		{"one address twice", station, `{"IPs":["10.10.2.7","10.10.2.7"],"Seq":0}`, true},
		{"an address in another spelling", station, `{"IPs":["fd00:0::7"],"Seq":0}`, true},
		{"room", station, `{"IPs": [],"Seq":0}`, true},
		{"a later schema", station, `{"IPs":[],"Seq":0,"Schema":2}`, true},
		{"fields that nobody knows", station, `{"IPs":[],"Seq":0,"New":1,"Schema":1}`, true},
		{"nothing said", station, `{}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.put(tt.key, tt.value)
			r := w.in.board.rows.get(tt.key)
			if r == nil {
				t.Fatalf("no row: %q", w.messages())
			}
			if got := r.name(); got != tt.key {
				t.Errorf("name: got %q, want %q", got, tt.key)
			}
			if got := string(r.appendValue(nil)); got != tt.value {
				t.Errorf("value: got %s, want %s", got, tt.value)
			}
			kv := w.h.keys[tt.key]
			if !r.isOf(kv) {
				t.Error("it is not of its own value")
			}
			kv.Value = append(kv.Value, ' ')
			if r.isOf(kv) {
				t.Error("it is of another value")
			}
			if kept := r.more != nil && r.more.value != ""; kept != tt.kept {
				t.Errorf("text kept: got %t, want %t", kept, tt.kept)
			}
		})
	}
}

func TestRowsAreFoundByName(t *testing.T) {
	w := crowd(t, 20, 500)
	names := make(map[string]bool)
	for r := range w.in.board.rows.all() {
		names[r.name()] = true
	}
	if len(names) != 540 || w.in.board.rows.len() != 540 {
		t.Fatalf("%d names of %d rows, want 540", len(names), w.in.board.rows.len())
	}
	for name := range names {
		if r := w.in.board.rows.get(name); r == nil || r.name() != name {
			t.Fatalf("%q: got %v", name, r)
		}
		if w.in.board.rows.get(name+"x") != nil {
			t.Fatalf("found what is not there: %q", name+"x")
		}
		w.del(name)
	}
	if n := w.in.board.rows.len(); n != 0 || len(w.in.board.nodes) != 0 {
		t.Errorf("left: %d rows, %d nodes", n, len(w.in.board.nodes))
	}
}

// Memory for each station is what large networks are bound by.
func TestAStationTakesLittleMemory(t *testing.T) {
	w := crowd(t, 50, 0)
	before := heapInUse()
	const n = 20_000
	for i := range n {
		m := ether.Addr{2, 3, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		name := fmt.Sprintf("%s%032x/endpoints/1/%s", hostsDir, i%50+1000, m)
		w.put(name, fmt.Sprintf(`{"IPs":["100.%d.%d.%d"],"Seq":0,"Since":"2026-01-31T12:00:00Z","Schema":1}`, 64+i>>16, i>>8&255, i&255))
		delete(w.h.keys, name)
	}
	tables := w.tables()
	got := (heapInUse() - before) / n
	t.Logf("%d bytes", got)
	if got > 400 {
		t.Errorf("%d bytes a station, want 400 at most", got)
	}
	if tables.FDB.Len() != n+50 || w.in.board.rows.len() != n+100 {
		t.Errorf("%d entries of %d rows", tables.FDB.Len(), w.in.board.rows.len())
	}
}

func heapInUse() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
