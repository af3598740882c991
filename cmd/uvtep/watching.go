package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// looking are the flags of the commands that look at a running agent.
type looking struct {
	socket   string
	asJSON   bool
	watch    bool
	interval time.Duration
}

func (l *looking) register(f *pflag.FlagSet) {
	adminFlag(f, &l.socket)
	f.BoolVarP(&l.asJSON, "json", "j", false, "print JSON")
	f.BoolVarP(&l.watch, "watch", "w", false, "go on until Ctrl-C")
	f.DurationVar(&l.interval, "interval", time.Second, "time between two looks of --watch, at least 100ms")
}

// leastInterval keeps a slip of the finger from keeping an agent busy.
const leastInterval = 100 * time.Millisecond

func (l *looking) validate() error {
	if l.interval < leastInterval {
		return usageError{fmt.Errorf("--interval %s: want %s or more", l.interval, leastInterval)}
	}
	return nil
}

// repeat looks once, or with --watch until it is told to stop: on a terminal as a
// screen that is written over, else block after block with an empty line between.
func (l *looking) repeat(cmd *cobra.Command, look func(io.Writer) error) error {
	if err := l.validate(); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if !l.watch {
		return look(out)
	}
	screen := onTerminal(out) && !l.asJSON
	tick := time.NewTicker(l.interval)
	defer tick.Stop()
	for first := true; ; first = false {
		b := new(bytes.Buffer)
		switch {
		case screen:
			b.WriteString(clearScreen)
		case !first && !l.asJSON:
			b.WriteString("\n")
		}
		if err := stopped(cmd.Context(), look(b)); err != nil || cmd.Context().Err() != nil {
			return err
		}
		if _, err := out.Write(b.Bytes()); err != nil {
			return err
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}

// clearScreen clears a terminal and begins at its top (ECMA-48).
const clearScreen = "\x1b[H\x1b[2J"

// stopped is err, unless that only says that the command was told to stop.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// onTerminal reports whether somebody looks at what is written.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// onColours reports whether what is written may have colours: on a terminal, and
// not where somebody said that there shall be none (no-color.org).
func onColours(w io.Writer) bool { return onTerminal(w) && os.Getenv("NO_COLOR") == "" }

// printJSON prints a value as indented JSON.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false) // it is no part of a page: > is >
	return enc.Encode(v)
}
