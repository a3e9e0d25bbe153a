// Command dialer is a model container that tells what it can reach: it answers each
// record, an address, with "connected" or with why not. An address without a host is
// the machine's own, on the bridge of the container's network.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"
)

func main() {
	http.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		for rows := bufio.NewScanner(r.Body); rows.Scan(); {
			fmt.Fprintf(w, "%s: %s\n", rows.Text(), dial(rows.Text()))
		}
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+os.Getenv("SAGEMAKER_BIND_TO_PORT"), nil))
	os.Exit(1)
}

func dial(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil && host == "" {
		host, err = bridge()
	}
	if err != nil {
		return err.Error()
	}
	c, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), 2*time.Second)
	if err != nil {
		return err.Error()
	}
	c.Close()
	return "connected"
}

// bridge is the first address of this container's network.
func bridge() (string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Masked().Addr().Next().String(), nil
		}
	}
	return "", errors.New("no network")
}
