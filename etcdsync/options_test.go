package etcdsync

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOptionsThatCannotWorkAreRefusedWithAllTheirFaults(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rubbish, password, empty := file("rubbish", "rubbish"), file("password", "secret\nmore"), file("empty", "\n")
	absent := filepath.Join(dir, "absent")
	plain, secure := []string{"http://192.0.2.1:2379"}, []string{"https://192.0.2.1:2379"}
	tests := []struct {
		name    string
		options Options
		want    []string // nothing: it is all right
	}{
		{"the least there must be", Options{Endpoints: plain}, nil},
		{"several members", Options{Endpoints: []string{"http://etcd-1:2379", "http://[fd00::1]:2379/"}}, nil},
		{"a user", Options{Endpoints: plain, Username: "u", PasswordFile: password}, nil},
		{"nothing", Options{}, []string{"no etcd endpoint"}},
		{"no scheme", Options{Endpoints: []string{"192.0.2.1:2379"}}, []string{"192.0.2.1:2379", "http:// or https://"}},
		{"another scheme", Options{Endpoints: []string{"ftp://192.0.2.1"}}, []string{"http:// or https://"}},
		{"a path", Options{Endpoints: []string{"http://192.0.2.1:2379/v3"}}, []string{"not a scheme, a host and a port"}},
		{"TLS here and there", Options{Endpoints: append(plain, secure...)}, []string{"some endpoints use TLS"}},
		{"a CA without TLS is no CA", Options{Endpoints: plain, CAFile: rubbish}, []string{"of no use with http://"}},
		{"a CA that is none", Options{Endpoints: secure, CAFile: rubbish}, []string{"holds no certificate"}},
		{"a CA that is absent", Options{Endpoints: secure, CAFile: absent}, []string{absent}},
		{"half a certificate", Options{Endpoints: secure, CertFile: rubbish}, []string{"only together"}},
		{"a certificate that is none", Options{Endpoints: secure, CertFile: rubbish, KeyFile: rubbish}, []string{"client certificate"}},
		{"a user without a password", Options{Endpoints: plain, Username: "u"}, []string{"only together"}},
		{"an empty password", Options{Endpoints: plain, Username: "u", PasswordFile: empty}, []string{"is empty"}},
		{"a password that is absent", Options{Endpoints: plain, Username: "u", PasswordFile: absent}, []string{absent}},
		{"all at once", Options{Prefix: "network", DialTimeout: -1, Username: "u"}, []string{"no etcd endpoint", "prefix", "negative", "only together"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.options.Validate()
			if len(tt.want) == 0 {
				if err != nil {
					t.Errorf("got %v, want nil", err)
				}
				return
			}
			if !errors.Is(err, ErrBadOptions) {
				t.Fatalf("got %v, want an ErrBadOptions", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestThePasswordIsTheFirstLineOfItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	for _, text := range []string{"secret", "secret\n", "secret\r\nmore\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := (Options{PasswordFile: path}).password(); got != "secret" || err != nil {
			t.Errorf("file %q: got %q, %v", text, got, err)
		}
	}
}
