package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Questions are views that take more than a few parameters: by path, a function
// that decodes the body of a POST and returns what to answer. A question changes
// nothing. It is called from many goroutines at once. Decoded makes one.
type Questions map[string]func(ctx context.Context, body []byte) (any, error)

// MaxQuestion is the longest body of a question, in bytes: some frames in
// hexadecimal.
const MaxQuestion = 4 << 20

// Streams are what can be listened to: by path, a function that looks at the
// parameters of a GET and returns the stream, which is then written for as long
// as it has something to say and its context lasts: until the client goes, or the
// agent ends. What is written reaches the client when Flush is called, if not
// earlier.
type Streams map[string]func(url.Values) (Open, error)

// Open writes a stream. Its media type is Type.
type Open struct {
	Type  string
	Write func(ctx context.Context, w StreamWriter) error
}

// StreamWriter is what a stream is written to.
type StreamWriter interface {
	io.Writer
	Flush() error
}

// stream serves one stream. An error ends it before its time, which the client
// sees.
func stream(w http.ResponseWriter, r *http.Request, open func(url.Values) (Open, error)) {
	s, err := open(r.URL.Query())
	if err != nil {
		conclude(w, nil, err)
		return
	}
	out := streamWriter{w, http.NewResponseController(w)}
	_ = out.control.SetReadDeadline(time.Time{}) // the whole request has been read
	w.Header().Set("Content-Type", s.Type)
	_ = out.Flush() // so that the client knows that it has begun; if it has gone, Write hears of it
	if err := s.Write(r.Context(), out); err != nil && !errors.Is(err, context.Canceled) {
		panic(http.ErrAbortHandler)
	}
}

// streamWriter gives each write to a client the time that a whole answer has
// elsewhere.
type streamWriter struct {
	w       io.Writer
	control *http.ResponseController
}

func (s streamWriter) Write(b []byte) (int, error) {
	if err := s.control.SetWriteDeadline(time.Now().Add(requestTimeout)); err != nil {
		return 0, err
	}
	return s.w.Write(b)
}

func (s streamWriter) Flush() error { return s.control.Flush() }
