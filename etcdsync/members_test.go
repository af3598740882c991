package etcdsync

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestEachEndpointIsAskedByItself(t *testing.T) {
	a := newAuthority(t)
	g := startTLS(t, a, true)
	cert := a.client(time.Hour)
	o := Options{
		Endpoints: []string{"https://127.0.0.1:1", g.endpoint}, DialTimeout: 2 * time.Second,
		CAFile: a.path("ca.crt"), CertFile: a.path("client.crt"), KeyFile: a.path("client.key"),
	}
	ms := Examine(g.ctx, o)
	if len(ms) != 2 || ms[0].Endpoint != o.Endpoints[0] || ms[0].Err == nil || !strings.Contains(ms[0].Err.Error(), "connection refused; is etcd up") {
		t.Errorf("nobody there: got %+v", ms[0])
	}
	m := ms[1]
	if !errors.Is(m.Err, ErrNoNetwork) || m.Version == "" || m.Cluster == 0 {
		t.Errorf("a member: got %+v, want an answer: no network configuration", m)
	}
	if !m.ClockKnown || m.Ahead.Abs() > 2*time.Second {
		t.Errorf("its clock, which is this one: got %v, known %v", m.Ahead, m.ClockKnown)
	}
	if left := time.Until(m.Ends); left < time.Minute || !m.Clients.Equal(cert.NotAfter) {
		t.Errorf("certificates: got %v and %v, want one that lasts and %v", m.Ends, m.Clients, cert.NotAfter)
	}
	stranger := newAuthority(t)
	o.Endpoints, o.CAFile = o.Endpoints[1:], stranger.path("ca.crt")
	if m := Examine(g.ctx, o)[0]; m.Err == nil || !strings.Contains(m.Err.Error(), "is --etcd-cafile the authority") {
		t.Errorf("another CA: got %v", m.Err)
	}
}

func TestAClockIsComparedToTheSecond(t *testing.T) {
	asked := time.Date(2026, 1, 31, 12, 0, 0, 500e6, time.UTC)
	answered := asked.Add(200 * time.Millisecond)
	for _, c := range []struct{ offset, want time.Duration }{
		{0, 0}, {-900 * time.Millisecond, 0}, {5 * time.Second, 4400 * time.Millisecond}, {-time.Hour, -time.Hour + 400*time.Millisecond},
	} {
		var m Member
		m.takeDate(asked.Add(c.offset).UTC().Format(http.TimeFormat), asked, answered)
		if !m.ClockKnown || (m.Ahead-c.want).Abs() > time.Second {
			t.Errorf("%v: got %v, known %v; want %v", c.offset, m.Ahead, m.ClockKnown, c.want)
		}
	}
	var m Member
	if m.takeDate("", asked, answered); m.ClockKnown {
		t.Error("no date: the clock is known")
	}
}
