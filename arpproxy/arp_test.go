package arpproxy

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAViewReadsWhatWasPut(t *testing.T) {
	want := arpMessage{
		op:        0x0102,
		senderMAC: asker, targetMAC: hostMAC,
		senderIP: addr(askerIP).As4(), targetIP: addr(hostIP).As4(),
	}
	b := bytes.Repeat([]byte{0xff}, ARPLen)
	want.put(b)
	v := View(b)
	if !v.Valid() {
		t.Fatal("Valid() = false")
	}
	got := arpMessage{
		op:        v.Op(),
		senderMAC: v.SenderMAC(), targetMAC: v.TargetMAC(),
		senderIP: v.SenderIP().As4(), targetIP: v.TargetIP().As4(),
	}
	if d := cmp.Diff(got, want, cmp.AllowUnexported(arpMessage{})); d != "" {
		t.Errorf("message (-got +want):\n%s", d)
	}
}
