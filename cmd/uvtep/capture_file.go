package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/uvtep/uvtep/internal/pcapng"
	"github.com/uvtep/uvtep/internal/spell"
)

// captureFile writes blocks to one file.
type captureFile struct {
	w   *bufio.Writer
	end func() error
}

// createCapture makes the file, or empties it. What passes is nobody else's
// business.
func createCapture(path string) (*captureFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w; say with -w where frames may be written", err)
	}
	return &captureFile{bufio.NewWriter(f), f.Close}, nil
}

func (c *captureFile) block(b pcapng.Block) error {
	_, err := c.w.Write(b)
	return err
}

func (c *captureFile) flush() error { return c.w.Flush() }
func (c *captureFile) close() error { return c.end() }

// captureRing writes files of a size in turn, each one whole.
type captureRing struct {
	path  string
	files int
	size  int64

	head []pcapng.Block // what every file begins with
	now  *captureFile
	n    int   // of that file
	used int64 // of it
}

func newCaptureRing(path string, files int, size int64) (*captureRing, error) {
	r := &captureRing{path: path, files: files, size: size}
	return r, r.next()
}

// next goes on with the next file.
func (r *captureRing) next() (err error) {
	if r.now != nil {
		if err := errors.Join(r.now.flush(), r.now.close()); err != nil {
			return err
		}
	}
	r.n = r.n%r.files + 1
	r.used = 0
	if r.now, err = createCapture(fmt.Sprintf("%s.%d", r.path, r.n)); err != nil {
		return err
	}
	for _, b := range r.head {
		if err := r.now.block(b); err != nil {
			return err
		}
		r.used += int64(len(b))
	}
	return nil
}

func (r *captureRing) block(b pcapng.Block) error {
	switch b.Type() {
	case pcapng.SectionHeader, pcapng.InterfaceDescriptor:
		r.head = append(r.head, b)
	default:
		if r.used+int64(len(b)) > r.size {
			if err := r.next(); err != nil {
				return err
			}
		}
	}
	r.used += int64(len(b))
	return r.now.block(b)
}

func (r *captureRing) flush() error { return r.now.flush() }
func (r *captureRing) close() error { return r.now.close() }

// captureLines prints a line a frame.
type captureLines struct {
	w     io.Writer
	links []pcapng.LinkType // by interface
}

func (c *captureLines) block(b pcapng.Block) error {
	if link, ok := b.Link(); ok {
		c.links = append(c.links, link)
		return nil
	}
	f, ok := b.Frame()
	if !ok {
		return nil
	}
	tell, way := spell.Tell, "out"
	if int(f.Interface) < len(c.links) && c.links[f.Interface] == pcapng.RawIP {
		tell = spell.TellIP
	}
	if f.Direction == pcapng.Inbound {
		way = "in "
	}
	_, err := fmt.Fprintf(c.w, "%s %s %s | %s\n", f.Time.Format("15:04:05.000000"), way, tell(f.Data), f.Comment)
	return err
}

func (c *captureLines) flush() error { return nil }
func (c *captureLines) close() error { return nil }
