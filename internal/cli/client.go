package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// client talks to one server: SageMaker's JSON protocol, Sagebrush's own paths,
// and S3 as far as the demo needs it. It is safe for concurrent use.
type client struct {
	target
	http   *http.Client
	signer *v4.Signer
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 256 << 20

func newClient(t target) *client {
	return &client{
		target: t,
		http:   &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 4, TLSClientConfig: trust(t.CABundle)}},
		signer: v4.NewSigner(),
	}
}

// trust trusts the certificates of a file beside the system's; nil is the system's
// alone, also where the file cannot be read: the connection then says what is wrong.
func trust(bundle string) *tls.Config {
	text, err := os.ReadFile(bundle)
	if bundle == "" || err != nil {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// close drops the idle connections.
func (c *client) close() { c.http.CloseIdleConnections() }

// refusal is an answer that is an error.
type refusal struct {
	status int
	// Code and message are as the server gave them; code is "" on its own paths.
	code, message string
}

func (r *refusal) Error() string { return r.message }

// call calls an operation and decodes its answer into out, unless that is nil.
func (c *client) call(ctx context.Context, operation string, in wire.Message, out any) error {
	body := wire.Encode(in)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "SageMaker."+operation)
	answer, err := c.do(req, "sagemaker", body)
	if err != nil || out == nil {
		return err
	}
	return c.decode(answer, out)
}

// own gets something of Sagebrush's own; path begins after /-/api/v1/.
func (c *client) own(ctx context.Context, path string, out any) error {
	return c.ownDo(ctx, http.MethodGet, path, out)
}

// ownDo is own with another method than GET.
func (c *client) ownDo(ctx context.Context, method, path string, out any) error {
	return c.ownSend(ctx, method, path, nil, out)
}

// ownSend is ownDo with a body, which is in as JSON unless that is nil.
func (c *client) ownSend(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+"/-/api/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := c.do(req, "sagemaker", body)
	if err != nil {
		return err
	}
	return c.decode(answer, out)
}

// progress asks how far a job has come.
func (c *client) progress(ctx context.Context, job string) (p api.JobProgress, err error) {
	return p, c.own(ctx, jobPath(job), &p)
}

// jobPath is where the server's own paths have a job.
func jobPath(job string) string { return "transform-jobs/" + url.PathEscape(job) }

// logs hands over what a job or an endpoint printed, line by line, until the answer
// ends; of is its path and query has the parameters. An error of each ends it and
// is given back.
func (c *client) logs(ctx context.Context, of string, query url.Values, each func(api.LogLine) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/-/api/v1/"+of+"/logs?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := c.send(c.endless(), req, "sagemaker", nil) // it may be silent for long
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		_, err := c.readAnswer(ctx, resp)
		return err
	}
	for lines := json.NewDecoder(resp.Body); ; {
		var l api.LogLine
		switch err := lines.Decode(&l); {
		case err == io.EOF:
			return nil
		case err != nil:
			return c.unreachable(ctx, err)
		}
		if err := each(l); err != nil {
			return err
		}
	}
}

// object sends a request to S3: a bucket "/b" or an object "/b/key", whose key
// must need no escaping.
func (c *client) object(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return c.do(req, "s3", body)
}

// do signs and sends a request and reads the answer. An answer that is an error
// is a *refusal, and none at all an error with the exit code for that.
func (c *client) do(req *http.Request, service string, body []byte) ([]byte, error) {
	resp, err := c.send(c.http, req, service, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return c.readAnswer(req.Context(), resp)
}

// readAnswer reads the whole of an answer; one that is an error is a *refusal.
func (c *client) readAnswer(ctx context.Context, resp *http.Response) ([]byte, error) {
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if len(answer) > maxAnswer {
		return nil, failed(exitFailed, "the server's answer has over %s", size(maxAnswer))
	}
	if resp.StatusCode >= 300 {
		return nil, refused(resp.StatusCode, answer)
	}
	return answer, nil
}

// endless is a client for answers that may take as long as they like.
func (c *client) endless() *http.Client {
	e := *c.http
	e.Timeout = 0
	return &e
}

// send signs and sends a request. The caller closes the answer's body.
func (c *client) send(by *http.Client, req *http.Request, service string, body []byte) (*http.Response, error) {
	hash := sha256.Sum256(body)
	sum := hex.EncodeToString(hash[:])
	if service == "s3" {
		req.Header.Set("X-Amz-Content-Sha256", sum)
	}
	keys := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.session}
	// S3's signatures cover the path as it is sent, those of others encode it once more.
	asSent := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }
	if err := c.signer.SignHTTP(req.Context(), keys, req, sum, service, c.Region, time.Now(), asSent); err != nil {
		return nil, err
	}
	resp, err := by.Do(req)
	if err != nil {
		return nil, c.unreachable(req.Context(), err)
	}
	return resp, nil
}

// unreachable is the error for a server that does not answer.
func (c *client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // without the method and the URL again
	}
	return failed(exitUnreachable, "the server at %s cannot be reached: %v", c.URL, err).
		because(err).hint("start one with: sagebrush serve").hint("or name another one with --endpoint-url URL or AWS_ENDPOINT_URL; this one is from %s", c.source)
}

// refused reads an error in the forms that the server has: JSON of the API, JSON
// of our own paths, XML of S3.
func refused(status int, answer []byte) error {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	if json.Unmarshal(answer, &e) == nil && (e.Message != "" || e.Error != "") {
		return &refusal{status: status, code: e.Type, message: e.Message + e.Error}
	}
	text := clip(string(answer), 300)
	if _, after, ok := strings.Cut(text, "<Message>"); ok {
		text, _, _ = strings.Cut(after, "</Message>")
	}
	if text == "" {
		text = http.StatusText(status)
	}
	return &refusal{status: status, message: text}
}

// decode reads a JSON answer.
func (c *client) decode(answer []byte, out any) error {
	if err := json.Unmarshal(answer, out); err != nil {
		return failed(exitFailed, "%s answered what is not Sagebrush's: %v", c.URL, err).
			because(err).hint("is it a Sagebrush server? the address is from %s", c.source)
	}
	return nil
}
