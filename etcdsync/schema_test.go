package etcdsync

import (
	"strings"
	"testing"

	"github.com/uvtep/uvtep/encap"
)

// What lies under uvtep/ is written by uvteps that are a version older and
// newer than this one while hosts are updated one after the other.
func TestValuesOfTheVersionsBeforeAndAfterAreRead(t *testing.T) {
	station := mac(7)
	tests := []struct {
		name, key string
		value     string // with %, in the place of more fields
		reads     func(*Tables) bool
	}{
		{"a host record", hostKey(nodeB), `{"PublicIP":"192.0.2.2","VNIs":[1]%}`,
			func(t *Tables) bool { return t.FDB.Accepts(1, addr("192.0.2.2")) }},
		{"an endpoint", hostsDir + nodeB + "/endpoints/1/" + station.String(), `{"IPs":["10.10.2.7"]%}`,
			func(t *Tables) bool { return has(t, 1, station) }},
		{"a static entry", "uvtep/static/1/" + station.String(), `{"IPs":["10.10.2.7"],"VTEP":"192.0.2.2"%}`,
			func(t *Tables) bool { return has(t, 1, station) }},
	}
	const later = `,"Schema":3`
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, more := range []string{``, `,"Schema":0`, `,"Schema":1`, `,"Schema":2,"Zone":{"of":["tomorrow"]}`} {
				w := newWorld(t)
				if tt.key != hostKey(nodeB) {
					w.put(hostKey(nodeB), hostOf("192.0.2.2"))
				}
				w.put(tt.key, strings.Replace(tt.value, "%", more, 1))
				if !tt.reads(w.tables()) {
					t.Errorf("with %q: it is not read:\n%s", more, w.logs.String())
				}
				w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
				w.messages()
				w.put(tt.key, strings.Replace(`{"PublicIP":7,"IPs":"another form","VTEP":{}%}`, "%", later, 1))
				if got := w.logs.String(); !strings.Contains(got, "it is of schema 3, and this uvtep reads 2 at most: update it") || !strings.Contains(got, tt.key) {
					t.Errorf("a later one: got the log %q", got)
				}
				if got := w.tables(); !tt.reads(got) || !has(got, 1, mac(2)) {
					t.Errorf("a later one: it cost more than its own news: %+v", viewOf(got))
				}
			}
			w := newWorld(t)
			w.put(hostKey(nodeC), hostOf("192.0.2.3"))
			w.put(tt.key, strings.Replace(tt.value, "%", later, 1))
			if got := w.tables(); tt.reads(got) || !got.FDB.Accepts(1, addr("192.0.2.3")) {
				t.Errorf("the first value of a later version: got %+v", viewOf(got))
			}
		})
	}
}

func has(t *Tables, vni encap.VNI, m [6]byte) bool {
	_, ok := t.FDB.Lookup(vni, m)
	return ok
}

// A value is decoded once: looking at its schema takes no reading of its own.
func TestASchemaIsReadWithTheRest(t *testing.T) {
	value := []byte(`{"IPs":["10.10.2.7"],"Seq":3,"Schema":1}`)
	var into struct {
		IPs []string
		Seq uint64
		ours
	}
	want := testing.AllocsPerRun(100, func() { _ = unmarshal(value, &into) })
	if got := testing.AllocsPerRun(100, func() { _ = unmarshalOurs(value, &into) }); got != want {
		t.Errorf("got %.0f allocations, want the %.0f of one decoding", got, want)
	}
}
