// Command load is the plain load generator that MultiRecord jobs are compared
// with: it holds a file in memory, cuts it at the last newline of each payload,
// and posts every payload once over a number of connections, by net/http or, with
// as little work as sockets allow, by itself. It prints the CPU time that the posting
// took, in JSON.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", "", "the server")
	file := flag.String("file", "", "what is sent")
	payload := flag.Int("payload", 6<<20, "the largest body, in bytes")
	conns := flag.Int("c", 1, "connections")
	raw := flag.Bool("raw", false, "send without net/http")
	flag.Parse()
	post := plain
	if *raw {
		post = send
	}
	if err := run(*addr, *file, *payload, *conns, post); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(addr, file string, payload, conns int, post poster) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	bodies := cut(data, payload)
	before := cpu()
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make(chan error, conns)
	for range conns {
		wait.Go(func() { errs <- post(addr, bodies, &next) })
	}
	wait.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	fmt.Printf("{\"cpuSeconds\": %f}\n", (cpu() - before).Seconds())
	return nil
}

// cpu is the CPU time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cut gives the pieces of data, each at most size bytes and ending in a newline.
func cut(data []byte, size int) [][]byte {
	var out [][]byte
	for len(data) > size {
		n := bytes.LastIndexByte(data[:size], '\n') + 1
		out = append(out, data[:n])
		data = data[n:]
	}
	return append(out, data)
}

// poster posts bodies until there are none left, over one connection.
type poster func(addr string, bodies [][]byte, next *atomic.Int64) error

// plain is the poster that anybody would write.
func plain(addr string, bodies [][]byte, next *atomic.Int64) error {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for {
		i := next.Add(1) - 1
		if i >= int64(len(bodies)) {
			return nil
		}
		answer, err := client.Post("http://"+addr+"/invocations", "text/csv", bytes.NewReader(bodies[i]))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("the server answered %s, %v", answer.Status, err)
		}
	}
}

// send is the poster that does the least.
func send(addr string, bodies [][]byte, next *atomic.Int64) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		i := next.Add(1) - 1
		if i >= int64(len(bodies)) {
			return nil
		}
		head := fmt.Appendf(nil, "POST /invocations HTTP/1.1\r\nHost: model\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n", len(bodies[i]))
		request := net.Buffers{head, bodies[i]}
		if _, err := request.WriteTo(conn); err != nil {
			return err
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("the server answered %s, %v", answer.Status, err)
		}
	}
}
