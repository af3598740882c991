package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// lamp is what the tests change.
type lamp struct {
	Light string `json:"light"`
}

// lampMux serves a view and a change that fails for some words.
func lampMux(made *[]string) http.Handler {
	return mux("1.2", Requests{Views: Views{"/v1/lamp": func() any { return lamp{"on"} }}, Changes: Changes{"/v1/lamp/light": Decoded(func(_ context.Context, l lamp) (any, error) {
		*made = append(*made, l.Light)
		switch l.Light {
		case "purple":
			return nil, BadRequest{errors.New("light: say on or off")}
		case "broken":
			return nil, errors.New("the lamp is broken; buy one")
		}
		return l, nil
	})}})
}

func TestRequestsAreAnsweredWithStatusAndJSON(t *testing.T) {
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		says                     string // within the error
		made                     int
	}{
		{"a change", "PUT", "/v1/lamp/light", `{"light":"off"}`, 200, "", 1},
		{"a value that is none", "PUT", "/v1/lamp/light", `{"light":"purple"}`, 400, "say on or off", 1},
		{"a change that fails", "PUT", "/v1/lamp/light", `{"light":"broken"}`, 500, "buy one", 1},
		{"no JSON", "PUT", "/v1/lamp/light", `light=off`, 400, "not the JSON that is wanted", 0},
		{"no body", "PUT", "/v1/lamp/light", ``, 400, "not the JSON that is wanted", 0},
		{"an unknown field", "PUT", "/v1/lamp/light", `{"lihgt":"off"}`, 400, `"lihgt"`, 0},
		{"two values", "PUT", "/v1/lamp/light", `{"light":"off"}{}`, 400, "more than one", 0},
		{"a body too long", "PUT", "/v1/lamp/light", `{"light":"` + strings.Repeat("o", maxBody) + `"}`, 413, "longer than 4096 bytes", 0},
		{"a change that is read", "GET", "/v1/lamp/light", ``, 405, "use PUT", 0},
		{"a view that is changed", "PUT", "/v1/lamp", `{}`, 405, "use GET", 0},
		{"nothing", "GET", "/v1/sofa", ``, 404, "no /v1/sofa in this agent; there is GET /, GET /v1/lamp, PUT /v1/lamp/light", 0},
		{"another version", "GET", "/v2/lamp", ``, 404, "this agent speaks v1; GET / lists what can be asked", 0},
		{"the list", "GET", "/", ``, 200, "", 0},
		{"the list, changed", "PUT", "/", `{}`, 405, "use GET", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var made []string
			w := httptest.NewRecorder()
			lampMux(&made).ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			var f fault
			err := json.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(&f)
			if w.Code != c.status || err != nil || (f.Error == "") != (c.says == "") || !strings.Contains(f.Error, c.says) {
				t.Errorf("got %d %s (%v), want %d and %q", w.Code, w.Body, err, c.status, c.says)
			}
			if ct := w.Header().Get("Content-Type"); ct != "application/json" {
				t.Errorf("got content type %q", ct)
			}
			if len(made) != c.made {
				t.Errorf("the change was called %d times, want %d", len(made), c.made)
			}
		})
	}
}

func TestChangeIsMadeThroughTheSocket(t *testing.T) {
	var made []string
	socket := filepath.Join(t.TempDir(), "a.sock")
	s, err := Listen(Config{Path: socket}, Requests{})
	if err != nil {
		t.Fatal(err)
	}
	s.http.Handler = lampMux(&made)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	var got lamp
	if err := Put(ctx, socket, "/v1/lamp/light", lamp{"off"}, &got); err != nil || got.Light != "off" {
		t.Errorf("got %v, %v; want the answer of the change", got, err)
	}
	if err := Put(ctx, socket, "/v1/lamp/light", lamp{"broken"}, &got); err == nil || !strings.HasSuffix(err.Error(), socket+": the lamp is broken; buy one") {
		t.Errorf("got %v, want what the agent said", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
