package etcdsync

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc/credentials"
)

// checkTLS finds what is wrong with the files for TLS.
func (o Options) checkTLS(f *faults) {
	if (o.CertFile == "") != (o.KeyFile == "") {
		f.addf("a certificate and its key are of use only together")
		return
	}
	if o.CAFile == "" && o.CertFile == "" {
		return
	}
	if !o.secure() {
		f.addf("a CA or a certificate is of no use with http:// endpoints")
		return
	}
	if _, err := o.tlsConfig(); err != nil {
		f.addf("%v", err)
	}
}

// tlsConfig reads the files for TLS as they are now.
func (o Options) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %q holds no certificate", o.CAFile)
		}
	}
	if o.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// password returns the first line of the password file, "" without one.
func (o Options) password() (string, error) {
	if o.PasswordFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(o.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if line = bytes.TrimRight(line, "\r"); len(line) == 0 {
		return "", fmt.Errorf("password file %q is empty", o.PasswordFile)
	}
	return string(line), nil
}

// freshTLS are transport credentials that read their files at every handshake:
// certificates are renewed on disk, and a restart to notice that would stop
// nothing but helps nobody.
type freshTLS struct {
	opts Options
	name string
}

var errClientOnly = errors.New("these credentials are a client's")

// ClientHandshake does the handshake of a new connection.
func (t *freshTLS) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, err := t.opts.tlsConfig()
	if err != nil {
		return nil, nil, err
	}
	c.ServerName = t.name
	return credentials.NewTLS(c).ClientHandshake(ctx, authority, conn)
}

// ServerHandshake is not for clients.
func (t *freshTLS) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errClientOnly
}

// Info describes the protocol.
func (t *freshTLS) Info() credentials.ProtocolInfo { return credentials.NewTLS(nil).Info() }

// Clone returns a copy.
func (t *freshTLS) Clone() credentials.TransportCredentials { c := *t; return &c }

// OverrideServerName sets the name that the server's certificate must have.
func (t *freshTLS) OverrideServerName(name string) error { t.name = name; return nil }
