package embedded

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZap returns the logger that etcd is given. What it writes goes to log;
// what would end the process ends the goroutine that says so, after fatal was
// called.
func newZap(log zerolog.Logger, fatal func(error)) *zap.Logger {
	hook := lastWords(fatal)
	return zap.New(core{log}, zap.WithFatalHook(hook), zap.WithPanicHook(hook))
}

// quiet keeps etcd from telling of faults, when it is set, that its end by Close brings
// about.
type quiet struct{ atomic.Bool }

// Run drops a line.
func (q *quiet) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	if q.Load() {
		e.Discard()
	}
}

// core writes zap's entries to a zerolog Logger.
type core struct{ log zerolog.Logger }

// Enabled reports whether an entry of the level is written. Below warnings
// etcd tells its own story, which matters to whoever debugs.
func (c core) Enabled(l zapcore.Level) bool {
	if l < zapcore.WarnLevel {
		return c.log.GetLevel() <= zerolog.DebugLevel
	}
	return c.log.GetLevel() <= level(l)
}

// With returns a core that adds fields to every entry.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{c.log.With().Fields(values(fields)).Logger()}
}

// Check adds the core to an entry that is enabled.
func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write writes an entry.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.WithLevel(level(e.Level)).Str("from", "etcd").Fields(values(fields)).Msg(e.Message)
	return nil
}

// Sync does nothing: zerolog does not buffer.
func (c core) Sync() error { return nil }

// level translates levels. What etcd takes for the end of the world is an
// error here, and its infos are our debug.
func level(l zapcore.Level) zerolog.Level {
	switch {
	case l < zapcore.WarnLevel:
		return zerolog.DebugLevel
	case l == zapcore.WarnLevel:
		return zerolog.WarnLevel
	}
	return zerolog.ErrorLevel
}

// values are the fields of an entry as zerolog takes them.
func values(fields []zapcore.Field) map[string]any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	return enc.Fields
}

// lastWords is called with the error that etcd cannot live with.
type lastWords func(error)

// OnWrite ends the goroutine, as os.Exit would have ended the process.
func (f lastWords) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := fmt.Errorf("embedded etcd: %s", ce.Message)
	for _, field := range fields {
		if cause, ok := field.Interface.(error); ok {
			err = fmt.Errorf("%w: %w", err, cause)
		}
	}
	f(err)
	runtime.Goexit()
}
