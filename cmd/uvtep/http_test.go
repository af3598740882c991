package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	vswitch "github.com/uvtep/uvtep/switch"
)

func TestListenAddresses(t *testing.T) {
	for _, good := range []string{"127.0.0.1:9473", ":9473", "[::1]:9473", "0.0.0.0:1", "[fe80::1%eth0]:80"} {
		if err := parseListen(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"9473", "localhost:9473", "127.0.0.1", "127.0.0.1:0", ":", "::1:80:x", "127.0.0.1:99999"} {
		if err := parseListen(bad); err == nil || !strings.Contains(err.Error(), "--http-listen") {
			t.Errorf("%q: got %v, want one that names the flag", bad, err)
		}
	}
}

// newAsked is the handler of an agent that has just begun.
func newAsked() (*web, http.Handler) {
	w := newWeb(&vitals{planes: noPlanes, beats: hearts{}, networks: 1})
	return w, w.handler()
}

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("x")))
	return w
}

func TestHealthIsToldAsFlanneldTellsIt(t *testing.T) {
	_, h := newAsked()
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/healthz", 200, "uvtep is running\n"},
		{"/readyz", 503, "uvtep is not ready yet: the network's configuration is not known yet\n"},
	} {
		if got := get(h, "GET", c.path); got.Code != c.status || got.Body.String() != c.body {
			t.Errorf("%s: got %d %q, want %d %q", c.path, got.Code, got.Body, c.status, c.body)
		}
	}
}

// What is put right at once is no reason to restart an agent, what is not is one.
func TestHealthBearsWithATAPThatIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newAsked()
		w.begins("uvtep.1")
		w.ends("uvtep.1", "it is being opened anew")
		time.Sleep(idleGrace - time.Millisecond)
		if got := get(h, "GET", "/healthz"); got.Code != 200 {
			t.Errorf("just before its time: got %d %q", got.Code, got.Body)
		}
		time.Sleep(time.Millisecond)
		if got := get(h, "GET", "/healthz"); got.Code != 503 || got.Body.String() != "uvtep is not well: the data path of uvtep.1 does not run: it is being opened anew\n" {
			t.Errorf("got %d %q", got.Code, got.Body)
		}
		if page := get(h, "GET", "/").Body.String(); !strings.Contains(page, "the data path of uvtep.1 does not run: it is being opened anew") {
			t.Errorf("the page does not tell:\n%s", page)
		}
		w.ends("uvtep.2", "it is being opened anew")
		w.begins("uvtep.1")
		if got := get(h, "GET", "/healthz"); got.Code != 200 {
			t.Errorf("of two, the one that is back: got %d %q", got.Code, got.Body)
		}
		// One that is made anew again and again does not come back.
		for range 2 * idleGrace / (500 * time.Millisecond) {
			w.begins("uvtep.2")
			time.Sleep(100 * time.Millisecond)
			w.ends("uvtep.2", "it is being opened anew")
			time.Sleep(400 * time.Millisecond)
		}
		if got := get(h, "GET", "/healthz"); got.Code != 503 || !strings.Contains(got.Body.String(), "uvtep.2") {
			t.Errorf("one that comes and goes: got %d %q", got.Code, got.Body)
		}
		w.begins("uvtep.2")
		time.Sleep(idleGrace)
		w.ends("uvtep.2", "it is being opened anew")
		if got := get(h, "GET", "/healthz"); got.Code != 200 {
			t.Errorf("once more, after some time: got %d %q", got.Code, got.Body)
		}
	})
}

func TestOnlyReadingIsServed(t *testing.T) {
	_, h := newAsked()
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "CONNECT", "OPTIONS", "TRACE"} {
		if got := get(h, method, "/"); got.Code != 405 || got.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: got %d %v", method, got.Code, got.Header())
		}
	}
	for _, path := range []string{"/", "/metrics", "/healthz"} {
		if got := get(h, "HEAD", path); got.Code != 200 || got.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("HEAD %s: got %d %v", path, got.Code, got.Header())
		}
	}
	if got := get(h, "GET", "/nothing"); got.Code != 404 {
		t.Errorf("got %d", got.Code)
	}
}

// The page of an agent that waits for its network tells that.
func TestThePageOfAnAgentThatWaits(t *testing.T) {
	_, h := newAsked()
	body := get(h, "GET", "/").Body.String()
	for _, want := range []string{"not ready", "the network&#39;s configuration is not known yet", `<meta http-equiv="refresh" content="5">`} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %q:\n%s", want, body)
		}
	}
}

func TestThePageTellsWhatStatusTells(t *testing.T) {
	s := someStatus()
	s.Networks[0].Peers[0].Subnet = "10.10.2.0/24"
	s.Networks[0].Peers[0].Traffic = &trafficView{Out: verdictView{1234, 98000}, In: verdictView{5, 600}}
	s.Warnings = []string{`key "<script>alert(1)</script>" is bad`}
	var v pageView
	v.fill(s, s.Since.Add(26*time.Hour))
	v.add(s)
	var stats vswitch.Stats
	stats.Frames[vswitch.Forward], stats.Bytes[vswitch.Forward] = 1234, 98765
	stats.Frames[vswitch.DropUnknownVTEP] = 3
	stats.Frames[vswitch.Deliver], stats.Bytes[vswitch.Deliver] = 77, 7700
	v.Networks[0].count(stats)
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, v); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<h1>uvtep</h1>\n<strong class=\"state good\">ready</strong>", "1.2, up 1d2h", "0123456789abcdef0123456789abcdef", "eth0, 192.0.2.1, mtu 1500",
		"connected, heard up to revision 17, 0.4s ago", "<h2>uvtep.1</h2>", "10.10.0.0/16, VNI 1, port 4789", "10.10.1.0/24, leased for 23h59m",
		`<td class="mono">192.0.2.2:4789</td><td class="mono">10.10.2.0/24</td><td class="n">1234</td><td class="n">98000</td><td class="n">5</td><td class="n">600</td>`,
		"<td>Forward</td><td class=\"n\">1234</td><td class=\"n\">98765</td>", "<td>DropUnknownVTEP</td>", "12.3k frames/s", "tso udp_gro",
		"<li>key &#34;&lt;script&gt;alert(1)&lt;/script&gt;&#34; is bad</li>", "1 peer",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	out, in, both := strings.Cut(page.String(), "<h2>From the underlay</h2>")
	if !both || !strings.Contains(out, "<td>Forward</td>") || strings.Contains(out, "<td>Deliver</td>") || !strings.Contains(in, "<td>Deliver</td><td class=\"n\">77</td>") {
		t.Error("verdicts are not with their direction")
	}
	for _, not := range []string{"DropShort", "<script", "http://", "https://", "<link", "<img", "not ready", "192.0.2.9"} {
		if strings.Contains(page.String(), not) {
			t.Errorf("holds %q", not)
		}
	}
	if t.Failed() {
		t.Log(page.String())
	}
}

func TestTheListenerEndsWithItsContext(t *testing.T) {
	w, _ := newAsked()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.serve(ctx, l) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "uvtep is running\n" {
		t.Errorf("got %q, %v", b, err)
	}
	_ = resp.Body.Close()
	a := &agent{runFlags: &runFlags{httpListen: l.Addr().String(), log: zerolog.Nop()}}
	if _, err := a.listenHTTP(); err == nil || !strings.Contains(err.Error(), "choose another") {
		t.Errorf("a port that is taken: got %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); !errors.As(err, new(*net.OpError)) {
		t.Errorf("after the end: got %v, want a refusal", err)
	}
}
