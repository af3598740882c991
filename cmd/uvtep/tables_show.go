package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/admin"
)

// run shows a table once, and with --watch what changes after that.
func (t *table[T]) run(cmd *cobra.Command, f *tableFlags, v url.Values) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	var at changeView
	if f.watch {
		if err := admin.Get(ctx, f.socket, changePath, &at); err != nil {
			return stopped(ctx, err)
		}
	}
	got, err := t.fetch(ctx, f.socket, v)
	switch {
	case err != nil:
		return stopped(ctx, err)
	case !f.watch:
		return t.print(out, f, got.Rows)
	}
	m := monitor[T]{out: out, flags: f, seen: map[string]T{}}
	for {
		if err := m.show(got.Rows); err != nil {
			return err
		}
		if at, err = nextChange(ctx, f, at); err == nil {
			got, err = t.fetch(ctx, f.socket, v)
		}
		if err != nil {
			return stopped(ctx, err)
		}
	}
}

// fetch asks the agent for rows.
func (t *table[T]) fetch(ctx context.Context, socket string, v url.Values) (got rows[T], err error) {
	path := t.path
	if len(v) > 0 {
		path += "?" + v.Encode()
	}
	if err := admin.Get(ctx, socket, path, &got); err != nil {
		return got, err
	}
	for i := range got.Rows {
		if t.hide != nil {
			t.hide(&got.Rows[i], v)
		}
	}
	return got, nil
}

// print prints rows as lines, or as one JSON value.
func (t *table[T]) print(w io.Writer, f *tableFlags, list []T) error {
	if f.asJSON {
		return printJSON(w, list)
	}
	b := new(strings.Builder)
	for _, r := range list {
		b.WriteString(r.line(f.style()) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// nextChange waits for another change than the one that was seen, and no less
// than the interval.
func nextChange(ctx context.Context, f *tableFlags, was changeView) (now changeView, err error) {
	pause := time.NewTimer(f.interval)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return was, ctx.Err()
	case <-pause.C:
	}
	for now = was; now.Change == was.Change; {
		if err := admin.Get(ctx, f.socket, changePath+"?after="+strconv.FormatUint(was.Change, 10), &now); err != nil {
			return now, err
		}
	}
	return now, nil
}

// monitor prints what is new, different or gone in a table, a line each.
type monitor[T tableRow] struct {
	out   io.Writer
	flags *tableFlags
	seen  map[string]T
}

// show takes in a table.
func (m *monitor[T]) show(list []T) error {
	b := new(strings.Builder)
	now := make(map[string]T, len(list))
	for _, r := range list {
		now[r.id()] = r
	}
	for _, id := range slices.Sorted(maps.Keys(m.seen)) {
		if _, there := now[id]; !there {
			if err := m.write(b, m.seen[id], true); err != nil {
				return err
			}
		}
	}
	for _, r := range list {
		if was, there := m.seen[r.id()]; there && was.line(style{}) == r.line(style{}) {
			continue
		}
		if err := m.write(b, r, false); err != nil {
			return err
		}
	}
	m.seen = now
	_, err := io.WriteString(m.out, b.String())
	return err
}

// write writes one row: a line, or a JSON object in one.
func (m *monitor[T]) write(b *strings.Builder, r T, deleted bool) error {
	if !m.flags.asJSON {
		if deleted {
			b.WriteString("Deleted ")
		}
		b.WriteString(r.line(m.flags.style()) + "\n")
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if deleted {
		b.WriteString(`{"deleted":true,`)
		text = text[1:]
	}
	b.Write(text)
	b.WriteByte('\n')
	return nil
}
