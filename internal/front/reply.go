package front

import (
	"net/http"
	"strconv"
	"time"
)

// date is the line of the time of day, which is made once a second.
type date struct {
	second int64
	line   []byte
}

func (d *date) at(now time.Time) []byte {
	if s := now.Unix(); s != d.second || d.line == nil {
		d.second = s
		d.line = append(d.line[:0], "Date: "...)
		d.line = now.UTC().AppendFormat(d.line, http.TimeFormat)
		d.line = append(d.line, "\r\n"...)
	}
	return d.line
}

// appendStatus begins an answer's head.
func appendStatus(b []byte, status int) []byte {
	if status == 200 {
		return append(b, "HTTP/1.1 200 OK\r\n"...)
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	return append(b, "\r\n"...)
}

// appendLength writes the field of a body's length.
func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

// appendEnd ends a head.
func appendEnd(b []byte, last bool) []byte {
	if last {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// modelHost is the Host that a container sees (CC-26).
const modelHost = "model.aws.local:8080"

// appendRequest writes the head of a request to a container.
func appendRequest(b []byte, t *Target, length int64) []byte {
	b = append(b, "POST "...)
	b = append(b, t.path()...)
	b = append(b, " HTTP/1.1\r\nHost: "+modelHost+"\r\n"...)
	b = append(b, t.Fields...)
	b = appendLength(b, length)
	return append(b, "\r\n"...)
}
