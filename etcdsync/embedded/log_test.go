package embedded

import (
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
)

func TestWhatWouldEndTheProcessEndsOneGoroutine(t *testing.T) {
	tests := []struct {
		name string
		log  func(*zap.Logger, string, ...zap.Field)
	}{
		{"fatal", (*zap.Logger).Fatal},
		{"panic", (*zap.Logger).Panic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lines strings.Builder
			cause := errors.New("no space left on device")
			s := &Server{failed: make(chan error, 1)}
			lg := newZap(zerolog.New(&lines), s.fail)
			ended, survived := make(chan struct{}), false
			go func() {
				defer close(ended)
				tt.log(lg, "cannot write", zap.Error(cause))
				survived = true
			}()
			<-ended
			if survived {
				t.Error("the goroutine went on")
			}
			if err := <-s.Err(); !errors.Is(err, cause) || !strings.Contains(err.Error(), "cannot write") {
				t.Errorf("got %v, want the message and its cause", err)
			}
			want := `{"level":"error","from":"etcd","error":"no space left on device","message":"cannot write"}` + "\n"
			if got := lines.String(); got != want {
				t.Errorf("log: got %s, want %s", got, want)
			}
		})
	}
}

func TestFieldsAndLevelsAreTranslated(t *testing.T) {
	var lines strings.Builder
	lg := newZap(zerolog.New(&lines).Level(zerolog.DebugLevel), func(error) {})
	lg.With(zap.Int("member", 7)).Info("raft")
	lg.Warn("slow", zap.String("took", "1s"))
	want := `{"level":"debug","member":7,"from":"etcd","message":"raft"}
{"level":"warn","from":"etcd","took":"1s","message":"slow"}
`
	if got := lines.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
