//go:build linux

package e2e_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"
)

// The parts of SOCKS version 5 (RFC 1928) that browsers use.
const (
	socksVersion    = 5
	socksNoAuth     = 0
	socksConnect    = 1
	socksDomainName = 3

	socksSucceeded  = 0
	socksNotAllowed = 2
)

// serveSOCKS starts a SOCKS server for browsers that cannot map names by themselves. It connects to the network and
// refuses every other name, and every bare address, which keeps a browser's own traffic off the world's network. It
// ends with the test.
func serveSOCKS(t testing.TB, n network) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer conn.Close()
				if server, err := n.acceptSOCKS(conn); err == nil {
					defer server.Close()
					relay(conn, server)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// acceptSOCKS reads a request, connects to where it wants to go, and answers.
func (n network) acceptSOCKS(conn net.Conn) (server net.Conn, err error) {
	greeting := make([]byte, 2) // version, number of methods
	if _, err := io.ReadFull(conn, greeting); err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, conn, int64(greeting[1])); err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte{socksVersion, socksNoAuth}); err != nil {
		return nil, err
	}

	request := make([]byte, 5) // version, command, reserved, kind of address, length of a domain name
	if _, err := io.ReadFull(conn, request); err != nil {
		return nil, err
	}
	err = errors.New("not a CONNECT to a domain name")
	if request[1] == socksConnect && request[3] == socksDomainName {
		target := make([]byte, int(request[4])+2) // name, port
		if _, err := io.ReadFull(conn, target); err != nil {
			return nil, err
		}
		name, port := target[:request[4]], binary.BigEndian.Uint16(target[request[4]:])
		server, err = n.dial(context.Background(), "tcp", net.JoinHostPort(string(name), strconv.Itoa(int(port))))
	}

	reply := []byte{socksVersion, socksSucceeded, 0, 1, 0, 0, 0, 0, 0, 0}
	if err != nil {
		reply[1] = socksNotAllowed
	}
	if _, writeErr := conn.Write(reply); err == nil && writeErr != nil {
		server.Close()
		return nil, writeErr
	}
	return server, err
}

// relay copies both ways until both sides have ended.
func relay(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		forward(a, b)
	}()
	forward(b, a)
	<-done
}

// forward copies one way, and passes on the end.
func forward(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		from.Close() // or the other side would wait for more
	}
	if err := to.(*net.TCPConn).CloseWrite(); err != nil {
		to.Close()
	}
}
