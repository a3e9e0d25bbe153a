package front

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// big is longer than any buffer of a socket or a loop.
var big = strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB

// scripts are what the suite's container does.
func scripts() map[string]script {
	return map[string]script{
		"/echo": func(w net.Conn, r *http.Request, body []byte) bool {
			head := "HTTP/1.1 200 OK\r\nContent-Type: " + r.Header.Get("Content-Type") + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
			_, err := io.WriteString(w, head+string(body))
			return err == nil
		},
		"/stream": func(w net.Conn, r *http.Request, body []byte) bool {
			_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+string(body))
			return err == nil
		},
		"/head": func(w net.Conn, r *http.Request, body []byte) bool {
			var b strings.Builder
			b.WriteString(r.Method + " " + r.URL.Path + " " + r.Host)
			for _, name := range []string{"Content-Type", "Accept", "X-Amzn-Sagemaker-Custom-Attributes", "User-Agent", "Cookie", "Authorization", "Accept-Encoding"} {
				b.WriteString("|" + r.Header.Get(name))
			}
			return plain(b.String())(w, r, nil)
		},
		"/fields":    raw("HTTP/1.1 201 Created\r\nContent-Type: a/b\r\nSet-Cookie: x\r\nServer: y\r\nx-amzn-sagemaker-custom-attributes: c d\r\nX-Amzn-SageMaker-New-Session-Id: s\r\nContent-Length: 2\r\n\r\nok"),
		"/empty":     raw("HTTP/1.1 204 No Content\r\n\r\n"),
		"/zero":      raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"/continue":  raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
		"/chunked":   raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n00a\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"),
		"/close":     rawEnd("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"),
		"/old":       rawEnd("HTTP/1.0 200 OK\r\n\r\nold"),
		"/big":       plain(big),
		"/bigchunk":  raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + big + "\r\n0\r\n\r\n"),
		"/bigclose":  rawEnd("HTTP/1.1 200 OK\r\n\r\n" + big),
		"/bad":       raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 7\r\n\r\nbad row"),
		"/broken":    raw("HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nboom\r\n0\r\n\r\n"),
		"/bigbad":    raw("HTTP/1.1 500 Oops\r\nContent-Length: " + strconv.Itoa(len(big)) + "\r\n\r\n" + big),
		"/redirect":  raw("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
		"/nothing":   rawEnd(""),
		"/nonsense":  rawEnd("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
		"/twolen":    rawEnd("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
		"/halfhead":  rawEnd("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
		"/half":      rawEnd("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
		"/halfchunk": rawEnd("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
		"/hang": func(w net.Conn, r *http.Request, body []byte) bool {
			io.Copy(io.Discard, w) // until the caller ends it
			return false
		},
	}
}

// The exchanges that both implementations answer alike.
var exchanges = []struct {
	name, request string
	endpoint      endpoint
	status        int
	body          string
	fields        map[string]string
	failure       Failure
	none          bool // Done is not called
	code          int  // the container's status
}{
	{name: "echo", request: invoke("echo", "1,2,3\n", "Content-Type: text/csv"), status: 200, body: "1,2,3\n", code: 200,
		fields: map[string]string{"Content-Type": "text/csv", "X-Amzn-Invoked-Production-Variant": "blue", "X-Amzn-Requestid": "id"}}, // RT-3, EP-35
	{name: "no body", request: invoke("echo", ""), status: 200, code: 200},
	{name: "no length", request: "POST /endpoints/echo/invocations HTTP/1.1\r\nHost: x\r\n\r\n", status: 200, code: 200},
	{name: "query", request: "POST /endpoints/echo/invocations?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", status: 200, body: "x", code: 200},
	{name: "64 KiB", request: invoke("echo", big[:64<<10]), status: 200, body: big[:64<<10], code: 200},
	{name: "1 MiB", request: invoke("echo", big), status: 200, body: big, code: 200},
	{name: "1 MiB streamed", request: invoke("stream", big), endpoint: endpoint{stream: true}, status: 200, body: big, code: 200},
	{name: "small streamed", request: invoke("stream", "x"), endpoint: endpoint{stream: true}, status: 200, body: "x", code: 200},
	{name: "what the container sees", // CC-25, CC-26, CC-52
		request: invoke("head", "x", "Accept: */*", "Cookie: c", "Authorization: a", "User-Agent: u", "X-Amzn-SageMaker-Custom-Attributes: k=v", "Accept-Encoding: gzip"),
		status:  200, body: "POST /head model.aws.local:8080||*/*|k=v||||", code: 200},
	{name: "what the client sees", request: invoke("fields", ""), status: 200, body: "ok", code: 201, // RT-3, CC-53
		fields: map[string]string{"Content-Type": "a/b", "X-Amzn-Sagemaker-Custom-Attributes": "c d", "X-Amzn-Sagemaker-New-Session-Id": "s", "Set-Cookie": "", "Server": ""}},
	{name: "204", request: invoke("empty", ""), status: 200, code: 204},
	{name: "nothing in it", request: invoke("zero", ""), status: 200, code: 200, fields: map[string]string{"Content-Length": "0"}},
	{name: "100 first", request: invoke("continue", ""), status: 200, body: "ok", code: 200},
	{name: "chunked", request: invoke("chunked", ""), status: 200, body: "abc0123456789", code: 200, fields: map[string]string{"Trailer": ""}},
	{name: "until the end", request: invoke("close", ""), status: 200, body: "until the end", code: 200},
	{name: "HTTP/1.0", request: invoke("old", ""), status: 200, body: "old", code: 200},
	{name: "big", request: invoke("big", ""), status: 200, body: big, code: 200},
	{name: "big in a chunk", request: invoke("bigchunk", ""), status: 200, body: big, code: 200},
	{name: "big until the end", request: invoke("bigclose", ""), status: 200, body: big, code: 200},
	{name: "container's 400", request: invoke("bad", ""), status: 424, code: 400, // RT-6
		body:   `{"Message":"Received client error (400) from primary with message \"bad row\".","OriginalStatusCode":400}`,
		fields: map[string]string{"X-Amzn-Errortype": "ModelError", "Content-Type": "application/json", "X-Amzn-Invoked-Production-Variant": "blue"}},
	{name: "container's 500", request: invoke("broken", ""), status: 424, code: 500,
		body: `{"Message":"Received server error (500) from primary with message \"boom\".","OriginalStatusCode":500}`},
	{name: "container's long 500", request: invoke("bigbad", ""), status: 424, code: 500,
		body: `{"Message":"Received server error (500) from primary with message \"` + big[:maxErrorBody] + `\".","OriginalStatusCode":500}`},
	{name: "redirect", request: invoke("redirect", ""), status: 424, code: 302, // CC-28
		body: `{"Message":"Received client error (302) from primary with message \"\".","OriginalStatusCode":302}`},
	{name: "no answer", request: invoke("nothing", ""), status: 424, failure: Reset,
		body: `{"Message":"Received server error (0) from primary with message \"reset\".","OriginalStatusCode":0}`},
	{name: "half a head", request: invoke("halfhead", ""), status: 424, failure: Reset,
		body: `{"Message":"Received server error (0) from primary with message \"reset\".","OriginalStatusCode":0}`},
	{name: "nonsense", request: invoke("nonsense", ""), status: 424, failure: Malformed,
		body: `{"Message":"Received server error (0) from primary with message \"malformed answer\".","OriginalStatusCode":0}`},
	{name: "two lengths", request: invoke("twolen", ""), status: 424, failure: Malformed,
		body: `{"Message":"Received server error (0) from primary with message \"malformed answer\".","OriginalStatusCode":0}`},
	{name: "too late", request: invoke("hang", ""), endpoint: endpoint{limit: 50 * time.Millisecond}, status: 424, failure: TimedOut, // RT-7, CC-24
		body: `{"Message":"Received server error (0) from primary with message \"timed out\".","OriginalStatusCode":0}`},
	{name: "answer too large", request: invoke("big", ""), endpoint: endpoint{maxAnswer: 1000}, status: 424, failure: TooLarge, code: 200,
		body: `{"Message":"Received server error (200) from primary with message \"answer too large\".","OriginalStatusCode":200}`},
	{name: "half an answer", request: invoke("half", ""), failure: Reset, code: 200},
	{name: "half a chunk", request: invoke("halfchunk", ""), failure: Reset, code: 200},
	{name: "no such endpoint", request: invoke("absent", "x"), status: 400, none: true, // RT-4, RT-5
		body:   `{"Message":"Endpoint absent of account 000000000000 not found."}`,
		fields: map[string]string{"X-Amzn-Errortype": "ValidationError", "Content-Type": "application/json"}},
	{name: "body too large", request: invoke("echo", "four"), endpoint: endpoint{maxBody: 3}, status: 413, none: true, // RT-8
		body: `{"Message":"HTTP content length exceeded 3 bytes."}`, fields: map[string]string{"X-Amzn-Errortype": "413", "Connection": "close"}},
	{name: "not taken", request: invoke("untaken", "abc"), status: 200, body: "next POST /endpoints/untaken/invocations 3", none: true},
	{name: "elsewhere", request: invoke("echo", "abc"), endpoint: endpoint{elsewhere: true}, status: 200, body: "next POST /endpoints/echo/invocations 3", none: true},
	{name: "elsewhere, long", request: invoke("echo", big), endpoint: endpoint{elsewhere: true}, status: 200, body: "next POST /endpoints/echo/invocations 1048576", none: true},
	{name: "elsewhere, streamed", request: invoke("echo", big), endpoint: endpoint{elsewhere: true, stream: true}, status: 200, body: "next POST /endpoints/echo/invocations 1048576", none: true},
	{name: "another path", request: "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", status: 200, body: "next GET /ping 0", none: true},
	{name: "chunked request", request: "POST /endpoints/echo/invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		status: 200, body: "next POST /endpoints/echo/invocations 3", none: true},
	{name: "async", request: "POST /endpoints/echo/async-invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		status: 200, body: "next POST /endpoints/echo/async-invocations 0", none: true},
}

func TestExchanges(t *testing.T) {
	t.Parallel()
	onBoth(t, nil, func(t *testing.T, s side) {
		box := newContainer(t, scripts())
		for _, x := range exchanges {
			t.Run(x.name, func(t *testing.T) {
				e := x.endpoint
				e.addr = box.addr()
				name := strings.Split(x.request, "/")[min(2, strings.Count(x.request, "/"))]
				if name != "absent" {
					s.desk.set(name, e)
				}
				c := dialTo(t, s.addr)
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					io.WriteString(c, x.request)
				}()
				defer func() { c.Close(); <-sent }()
				in := bufio.NewReader(c)
				if x.status == 0 {
					resp, err := http.ReadResponse(in, &http.Request{Method: "POST"})
					if err == nil {
						_, err = io.ReadAll(resp.Body)
					}
					if err == nil {
						t.Fatalf("the answer ends well: %v", resp)
					}
				} else {
					resp, body := answerOf(t, in)
					if resp.StatusCode != x.status || body != x.body {
						t.Fatalf("got %d %.300q, want %d %.300q", resp.StatusCode, body, x.status, x.body)
					}
					for name, want := range x.fields {
						got := resp.Header.Get(name)
						if name == "Connection" && resp.Close {
							got = "close" // ReadResponse takes it out
						}
						if got != want {
							t.Errorf("%s: %q, want %q", name, got, want)
						}
					}
				}
				if x.none {
					return
				}
				o := <-s.desk.done
				if o.Failure != x.failure || o.Status != x.code {
					t.Errorf("outcome %v with %d, want %v with %d", o.Failure, o.Status, x.failure, x.code)
				}
				if o.Total <= 0 || o.Failure == None && (o.FirstByte <= 0 || o.FirstByte > o.Total) {
					t.Errorf("first byte after %v, the last after %v", o.FirstByte, o.Total)
				}
			})
		}
		if n := len(s.desk.done); n > 0 {
			t.Errorf("Done was called %d times more than Route forwarded", n)
		}
	})
}
