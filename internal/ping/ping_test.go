package ping

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// lacking skips a test for what the machine or its user has not, and fails it
// where the laboratory is required.
func lacking(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("UVTEP_LAB") == "require" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// The kernel of every machine answers itself.
func TestLoopbackAnswers(t *testing.T) {
	for _, to := range []string{"127.0.0.1", "::1"} {
		ip := netip.MustParseAddr(to)
		for _, size := range []int{0, 16, 56, 1400, 9000} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			rtt, err := Ask(ctx, Question{From: ip, To: ip, Size: size})
			cancel()
			if err != nil && os.Geteuid() != 0 || err != nil && ip.Is6() && strings.Contains(err.Error(), "cannot assign") {
				lacking(t, err)
			}
			if err != nil || rtt <= 0 || rtt > 10*time.Second {
				t.Errorf("%s, %d bytes: got %v, %v", to, size, rtt, err)
			}
		}
	}
}

func TestSilenceEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ip := netip.MustParseAddr("127.0.0.1")
	s, err := open(ip)
	if err != nil {
		lacking(t, err)
	}
	defer func() { _ = s.Close() }()
	// Nobody answers a question that was not asked.
	stop := context.AfterFunc(ctx, func() { _ = s.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := s.await(ip, make([]byte, 100)); !errors.Is(err, ErrSilent) {
		t.Errorf("got %v", err)
	}
	if _, err := Ask(t.Context(), Question{From: netip.MustParseAddr("192.0.2.77"), To: ip}); err == nil {
		t.Error("asked from an address that is not ours")
	}
}

func TestOtherAnswersAreNotTaken(t *testing.T) {
	s := &socket{id: 7, data: [16]byte{1, 2, 3}}
	q := Question{Size: 20}
	ask, err := s.question(q)
	if err != nil {
		t.Fatal(err)
	}
	reply := func(change func(b []byte)) []byte {
		b := append([]byte{}, ask...)
		b[0] = 0 // echo reply
		change(b)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"the answer", reply(func([]byte) {}), true},
		{"the question itself, as a raw socket on loopback hears it", ask, false},
		{"another's data", reply(func(b []byte) { b[8]++ }), false},
		{"shorter than was asked", reply(func([]byte) {})[:len(ask)-1], false},
		{"nothing", nil, false},
	} {
		if got := s.answers(c.b, len(ask)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
