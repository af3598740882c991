package state

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces the content of path in one step. Whoever reads path at
// any moment, also after a loss of power, finds the old content or the new
// one, never a part. The file has exactly the permissions perm, whatever the
// umask says; the folder must exist.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return replaceFile(path, bytes.NewReader(data), perm)
}

// replaceFile is WriteFile for content that is not in memory as a whole.
func replaceFile(path string, content io.WriterTo, perm fs.FileMode) error {
	tmp, err := writeTemp(path, content, perm)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

// writeNew is WriteFile for a file that must not exist yet. When it does,
// also when another process made it a moment ago, the error is fs.ErrExist.
func writeNew(path string, data []byte, perm fs.FileMode) error {
	tmp, err := writeTemp(path, bytes.NewReader(data), perm)
	if err != nil {
		return err
	}
	// link(2) fails when the new name exists, which rename(2) does not.
	err = os.Link(tmp, path)
	if err := errors.Join(err, os.Remove(tmp)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeTemp writes content to a new file beside path and returns its name. On
// error nothing is left.
func writeTemp(path string, content io.WriterTo, perm fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = content.WriteTo(f)
	err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
	return f.Name(), err
}

// syncDir makes a rename in dir outlive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
