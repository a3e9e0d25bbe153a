// Command model is the container behind the proxies that bench compares: it reads
// requests and answers each with the same bytes, with as little work as net and
// goroutines allow. It says on standard output where it listens.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

func main() {
	size := flag.Int("size", 1024, "bytes of an answer")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "model:", run(*size))
	os.Exit(1)
}

// run serves until it cannot.
func run(size int) error {
	// As a container it is told its port.
	l, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("SAGEMAKER_BIND_TO_PORT"), "0"))
	if err != nil {
		return err
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n", size)
	answer = append(answer, bytes.Repeat([]byte("x"), size)...)
	if err := json.NewEncoder(os.Stdout).Encode(struct{ Addr string }{l.Addr().String()}); err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serve(c, answer)
	}
}

// serve answers the requests of one connection.
func serve(c net.Conn, answer []byte) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 64<<10)
	for {
		length := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			const name = "content-length:"
			if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))) // our own clients send numbers
			}
		}
		if _, err := in.Discard(length); err != nil && err != io.EOF {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}
