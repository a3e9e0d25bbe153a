// Command pace sends one request again and again at a given rate over a number of
// connections, and prints how long the answers took, in JSON. A latency counts from the
// moment when the request was due, so one that waited for the answer before it pays for
// the wait, and the servers that are compared get the same load.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

func main() {
	addr := flag.String("addr", "", "the server")
	file := flag.String("request", "", "a file with the request as it is sent")
	rate := flag.Float64("rate", 100, "requests a second, of all connections")
	conns := flag.Int("c", 1, "connections")
	duration := flag.Duration("d", time.Second, "how long")
	flag.Parse()
	if err := run(*addr, *file, *rate, *conns, *duration); err != nil {
		fmt.Fprintln(os.Stderr, "pace:", err)
		os.Exit(1)
	}
}

// result is what is printed: latencies in milliseconds.
type result struct {
	Requests, Errors   int
	P50, P90, P99, Max float64
}

func run(addr, file string, rate float64, conns int, duration time.Duration) error {
	request, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	every := time.Duration(float64(time.Second) * float64(conns) / rate)
	clients := make([]client, conns)
	for i := range clients {
		if clients[i].conn, err = net.Dial("tcp", addr); err != nil {
			return err
		}
		defer clients[i].conn.Close()
	}
	var wait sync.WaitGroup
	began := time.Now().Add(50 * time.Millisecond)
	for i := range clients {
		first := began.Add(every * time.Duration(i) / time.Duration(conns))
		wait.Go(func() { clients[i].run(request, first, every, began.Add(duration)) })
	}
	wait.Wait()
	return report(clients)
}

func report(clients []client) error {
	var out result
	var all []time.Duration
	for _, c := range clients {
		if c.err != nil {
			return c.err
		}
		all = append(all, c.took...)
		out.Errors += c.errors
	}
	if len(all) == 0 {
		return fmt.Errorf("no request was answered")
	}
	slices.Sort(all)
	at := func(share float64) float64 {
		return float64(all[min(len(all)-1, int(share*float64(len(all))))].Microseconds()) / 1e3
	}
	out.Requests, out.P50, out.P90, out.P99, out.Max = len(all), at(0.5), at(0.9), at(0.99), at(1)
	return json.NewEncoder(os.Stdout).Encode(out)
}

// client is one connection.
type client struct {
	conn   net.Conn
	took   []time.Duration
	errors int // answers that are not 200
	err    error
}

// run sends a request whenever one is due, until the end.
func (c *client) run(request []byte, due time.Time, every time.Duration, end time.Time) {
	in := bufio.NewReaderSize(c.conn, 64<<10)
	for ; due.Before(end); due = due.Add(every) {
		time.Sleep(time.Until(due))
		if _, c.err = c.conn.Write(request); c.err != nil {
			return
		}
		answer, err := http.ReadResponse(in, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
		}
		if c.err = err; err != nil {
			return
		}
		if answer.StatusCode != http.StatusOK {
			c.errors++
		}
		c.took = append(c.took, time.Since(due))
	}
}
