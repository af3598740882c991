package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Version is the version of the requests: all paths but "/" begin with it. It
// becomes another one when a request changes its meaning; requests and keys are
// added to it at any time.
const Version = "v1"

// Views are what can be asked for: by path, a function that returns something
// that encoding/json can write. It is called from many goroutines at once.
type Views map[string]func() any

// Queries are views that take parameters, and may wait. They are called from
// many goroutines at once, each with the context of its request; one that waits
// answers within Patience, with what there is then.
type Queries map[string]func(context.Context, url.Values) (any, error)

// Changes are what can be changed: by path, a function that decodes the body of
// a PUT, makes the change, and returns what to answer. It is called from many
// goroutines at once. Decoded makes one.
type Changes map[string]func(ctx context.Context, body []byte) (any, error)

// BadRequest is the error of what was asked for wrongly: nothing has changed, and
// asking again in the same way is of no use.
type BadRequest struct{ Err error }

func (e BadRequest) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e BadRequest) Unwrap() error { return e.Err }

// Busy is the error of what cannot be had now, since others have it: asking again
// later may be of use.
type Busy struct{ Err error }

func (e Busy) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e Busy) Unwrap() error { return e.Err }

// maxBody is the longest body of a change, in bytes: a few words of JSON.
const maxBody = 4 << 10

// Decoded makes a change of a function that takes the body as a T. A body that
// is no T, or holds more than a T does, is a BadRequest.
func Decoded[T any](apply func(context.Context, T) (any, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, body []byte) (any, error) {
		var v T
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			return nil, BadRequest{fmt.Errorf("the body is not the JSON that is wanted: %w", err)}
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, BadRequest{errors.New("the body holds more than one JSON value; send one")}
		}
		return apply(ctx, v)
	}
}

// Requests are all that can be asked of an agent. No path may be more than one
// of them.
type Requests struct {
	Views     Views
	Queries   Queries
	Changes   Changes
	Questions Questions
	Streams   Streams
}

// List names the requests, as "GET /v1/stats", in order.
func (q Requests) List() []string {
	out := []string{"GET /"}
	for path := range q.Views {
		out = append(out, "GET "+path)
	}
	for path := range q.Queries {
		out = append(out, "GET "+path)
	}
	for path := range q.Changes {
		out = append(out, "PUT "+path)
	}
	for path := range q.Questions {
		out = append(out, "POST "+path)
	}
	for path := range q.Streams {
		out = append(out, "GET "+path)
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(path(a), path(b)) })
	return out
}

// path is that of a request as List names it.
func path(request string) string {
	_, path, _ := strings.Cut(request, " ")
	return path
}

// root is what there is to ask for: the answer to "/".
type root struct {
	Agent    string   `json:"agent"`    // its version
	Versions []string `json:"versions"` // of the requests
	Requests []string `json:"requests"`
}

// mux serves every path by its method, and errors as JSON, those of HTTP itself
// too. Each answer says which agent it is from.
func mux(agent string, q Requests) http.Handler {
	m := http.NewServeMux()
	for path, view := range q.Views {
		m.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, view()) })
		m.HandleFunc(path, only("GET, HEAD"))
	}
	for path, query := range q.Queries {
		m.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			v, err := query(r.Context(), r.URL.Query())
			conclude(w, v, err)
		})
		m.HandleFunc(path, only("GET, HEAD"))
	}
	for path, change := range q.Changes {
		m.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) { withBody(w, r, maxBody, change) })
		m.HandleFunc(path, only("PUT"))
	}
	for path, question := range q.Questions {
		m.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { withBody(w, r, MaxQuestion, question) })
		m.HandleFunc(path, only("POST"))
	}
	for path, open := range q.Streams {
		m.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { stream(w, r, open) })
		m.HandleFunc(path, only("GET"))
	}
	list := q.List()
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, root{agent, []string{Version}, list})
	})
	m.HandleFunc("/{$}", only("GET, HEAD"))
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, unknown(r.URL.Path, list))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", serverPrefix+agent)
		m.ServeHTTP(w, r)
	})
}

// serverPrefix stands before the agent's version in the Server header.
const serverPrefix = "uvtep/"

// unknown says what there is in place of what was asked for.
func unknown(path string, list []string) error {
	if first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); first != Version {
		return fmt.Errorf("there is no %s: this agent speaks %s; GET / lists what can be asked", path, Version)
	}
	return fmt.Errorf("there is no %s in this agent; there is %s", path, strings.Join(list, ", "))
}

func only(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", methods)
		refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s does not take %s; use %s", r.URL.Path, r.Method, methods))
	}
}

// withBody does what a request with a body asks for.
func withBody(w http.ResponseWriter, r *http.Request, most int64, do func(context.Context, []byte) (any, error)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		status := http.StatusBadRequest
		if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
			status, err = http.StatusRequestEntityTooLarge, fmt.Errorf("the body is longer than %d bytes; send less at once", most)
		}
		refuse(w, status, err)
		return
	}
	v, err := do(r.Context(), body)
	conclude(w, v, err)
}

// conclude answers with a value, or with the error in its place.
func conclude(w http.ResponseWriter, v any, err error) {
	if bad := (BadRequest{}); errors.As(err, &bad) {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if busy := (Busy{}); errors.As(err, &busy) {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, http.StatusOK, v)
}

// fault is how an error goes over the wire.
type fault struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, status int, err error) { answer(w, status, fault{err.Error()}) }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // an error is the client's going away
}
