package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// newLog returns the logger that --log-level and --log-format describe. Format
// auto is console on a terminal and JSON otherwise.
func newLog(w io.Writer, level, format string) (zerolog.Logger, error) {
	l, err := zerolog.ParseLevel(level)
	if err != nil || level == "" {
		return zerolog.Nop(), fmt.Errorf("--log-level %q: say trace, debug, info, warn or error", level)
	}
	f, isFile := w.(*os.File)
	terminal := isFile && isatty.IsTerminal(f.Fd())
	switch {
	case format == "console", format == "auto" && terminal:
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !terminal || os.Getenv("NO_COLOR") != ""}
	case format == "json", format == "auto":
	default:
		return zerolog.Nop(), fmt.Errorf("--log-format %q: say auto, console or json", format)
	}
	return zerolog.New(w).Level(l).With().Timestamp().Logger(), nil
}
