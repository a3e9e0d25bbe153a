// Package audit keeps a record of every call that may change something, and of
// every call that was refused, as JSON lines in a file of bounded size.
package audit

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Entry is one call. Members that say nothing are left out.
type Entry struct {
	Time      time.Time `json:"time"`
	RequestID string    `json:"requestId"`
	// Service and Operation are as IAM names them: "sagemaker", "CreateModel".
	Service   string `json:"service"`
	Operation string `json:"operation"`
	// Resource is what the call names, as it names it.
	Resource string `json:"resource,omitempty"`
	// AccessKeyID and Identity say who called; Verified, whether the signature proved
	// it: an open server lets other keys through.
	AccessKeyID string `json:"accessKeyId,omitempty"`
	Identity    string `json:"identity,omitempty"`
	Verified    bool   `json:"verified"`
	SourceIP    string `json:"sourceIp,omitempty"`
	UserAgent   string `json:"userAgent,omitempty"`
	// Status is the HTTP status, Code the error's code for one that failed.
	Status int    `json:"status"`
	Code   string `json:"code,omitempty"`
}

// The bounds of the file, of which the one before is kept, and of what strangers
// wrote into an entry.
const (
	fileBytes = 64 << 20
	textBytes = 256
)

// Log writes entries. It is safe for concurrent use.
type Log struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	file *os.File
	size int64
	told bool // that the file cannot be written
}

// Open opens the file at path for appending, which only its owner may read.
func Open(path string, log *slog.Logger) (*Log, error) {
	l := &Log{path: path, log: log}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return l, l.open()
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Add writes an entry. A disk that does not take it is told to the server's log,
// once until it does again: calls do not fail for it.
func (l *Log) Add(e Entry) {
	e.Time = e.Time.UTC()
	for _, s := range []*string{&e.Service, &e.Operation, &e.Resource, &e.AccessKeyID, &e.Identity, &e.UserAgent, &e.Code} {
		if len(*s) > textBytes {
			*s = (*s)[:textBytes]
		}
	}
	line, err := json.Marshal(e) // it escapes what would break the line
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		err = l.open()
	}
	if err == nil {
		var n int
		n, err = l.file.Write(append(line, '\n'))
		l.size += int64(n)
	}
	if err == nil && l.size > fileBytes {
		err = l.rotate()
	}
	if err != nil && !l.told {
		l.log.Error("the audit log cannot be written", "file", l.path, "error", err)
	}
	l.told = err != nil
}

// rotate puts the file aside, over the one that was put aside before.
func (l *Log) rotate() error {
	l.file.Close()
	l.file = nil
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return err
	}
	return l.open()
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
