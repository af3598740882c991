package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Changes are what can be changed: by path, a function that decodes the body of
// a PUT, makes the change, and returns what to answer. It is called from many
// goroutines at once. Decoded makes one.
type Changes map[string]func(ctx context.Context, body []byte) (any, error)

// BadRequest is the error of a change that was asked for wrongly: nothing has
// changed, and asking again in the same way is of no use.
type BadRequest struct{ Err error }

func (e BadRequest) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e BadRequest) Unwrap() error { return e.Err }

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

// mux serves every path by its method, and errors as JSON, those of HTTP itself
// too.
func mux(v Views, c Changes) http.Handler {
	m := http.NewServeMux()
	for path, view := range v {
		m.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, view()) })
		m.HandleFunc(path, only("GET, HEAD"))
	}
	for path, change := range c {
		m.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) { put(w, r, change) })
		m.HandleFunc(path, only("PUT"))
	}
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no %s in this version of the agent", r.URL.Path))
	})
	return m
}

func only(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", methods)
		refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s does not take %s; use %s", r.URL.Path, r.Method, methods))
	}
}

// put makes one change.
func put(w http.ResponseWriter, r *http.Request, change func(context.Context, []byte) (any, error)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
			status, err = http.StatusRequestEntityTooLarge, fmt.Errorf("the body is longer than %d bytes; send only what is to change", maxBody)
		}
		refuse(w, status, err)
		return
	}
	v, err := change(r.Context(), body)
	if bad := (BadRequest{}); errors.As(err, &bad) {
		refuse(w, http.StatusBadRequest, err)
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
