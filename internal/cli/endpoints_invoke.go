package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// invocation is a request to an endpoint by its flags.
type invocation struct {
	contentType, accept, variant, file string
	stream                             bool
}

// maxRequest bounds what is read of standard input or a file, in bytes; the server
// has its own limit, which is lower by default (RT-7).
const maxRequest = 1 << 30

// endpointsInvoke is the command that sends a request to an endpoint.
func (a *app) endpointsInvoke(f *targetFlags) *cobra.Command {
	var i invocation
	cmd := &cobra.Command{
		Use:   "invoke NAME [BODY]",
		Short: "Send a request to an endpoint and print its answer",
		Long: `Send a request to an endpoint and print what its container answers, byte for byte. The body is
the second argument, a file, or standard input. With --stream each part is printed as it
comes. With --output json the answer is one object with its headers, and each part of a
stream an object on a line of its own; a body that is not text is in base64.`,
		Example: `  sagebrush endpoints invoke prices '0.23,61.5,55' --content-type text/csv
  sagebrush endpoints invoke prices --file rows.csv --target-variant canary --json
  sagebrush endpoints invoke writer --content-type application/json --stream < prompt.json`,
	}
	flags := cmd.Flags()
	flags.StringVar(&i.contentType, "content-type", "", "type of the body, such as text/csv or application/json")
	flags.StringVar(&i.accept, "accept", "", "type of the answer that is wanted")
	flags.StringVar(&i.variant, "target-variant", "", "the production variant that answers, whatever its weight")
	flags.StringVar(&i.file, "file", "", "read the body from this file; - is standard input")
	flags.BoolVar(&i.stream, "stream", false, "print the parts of the answer as they come (InvokeEndpointWithResponseStream)")
	a.endpointCommand(cmd, f, nil)
	cmd.Args = cobra.RangeArgs(1, 2)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body, err := a.requestBody(cmd, i.file, args[1:])
		if err != nil {
			return err
		}
		return a.withServer(cmd, f, endpointsHint, func(ctx context.Context, c *client) error {
			if i.stream {
				return a.invokeStream(ctx, c, args[0], i, body)
			}
			return a.invokeOnce(ctx, c, args[0], i, body)
		})
	}
	return cmd
}

// requestBody is the argument, the file, or what comes on standard input.
func (a *app) requestBody(cmd *cobra.Command, file string, args []string) ([]byte, error) {
	switch {
	case len(args) > 0 && file != "":
		return nil, usage("the body is given twice, as an argument and by --file")
	case len(args) > 0:
		return []byte(args[0]), nil
	case file == "" && isTerminal(cmd.InOrStdin()):
		return nil, usage("the request has no body").hint("give it as an argument, by --file, or on standard input")
	}
	in := cmd.InOrStdin()
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, usage("%v", err).because(err)
		}
		defer f.Close()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, maxRequest+1))
	if err == nil && len(body) > maxRequest {
		err = usage("the body has over %s", size(maxRequest))
	}
	return body, err
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// request makes a request to one of the runtime API's paths; accept is the name of
// the header for the type of the answer.
func (i invocation) request(ctx context.Context, c *client, endpoint, operation, accept string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/endpoints/"+url.PathEscape(endpoint)+"/"+operation, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"Content-Type": i.contentType, accept: i.accept, "X-Amzn-SageMaker-Target-Variant": i.variant} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}

// answered is an answer as JSON.
type answered struct {
	Variant          string `json:"invokedProductionVariant,omitempty"`
	ContentType      string `json:"contentType,omitempty"`
	CustomAttributes string `json:"customAttributes,omitempty"`
	bodyJSON
}

// bodyJSON is a body as text, or in base64 where it is none.
type bodyJSON struct {
	Body       *string `json:"body,omitempty"`
	BodyBase64 *string `json:"bodyBase64,omitempty"`
}

func toBodyJSON(body []byte) bodyJSON {
	if utf8.Valid(body) {
		return bodyJSON{Body: ptr(string(body))}
	}
	return bodyJSON{BodyBase64: ptr(base64.StdEncoding.EncodeToString(body))}
}

// invokeOnce prints an answer.
func (a *app) invokeOnce(ctx context.Context, c *client, endpoint string, i invocation, body []byte) error {
	req, err := i.request(ctx, c, endpoint, "invocations", "Accept", body)
	if err != nil {
		return err
	}
	resp, err := c.send(c.http, req, "sagemaker", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := c.readAnswer(ctx, resp)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(answered{
			Variant: resp.Header.Get("X-Amzn-Invoked-Production-Variant"), ContentType: resp.Header.Get("Content-Type"),
			CustomAttributes: resp.Header.Get("X-Amzn-SageMaker-Custom-Attributes"), bodyJSON: toBodyJSON(answer),
		})
	}
	_, err = a.Stdout.Write(answer)
	return err
}

// invokeStream prints the parts of an answer as they come. The parts that came
// before an error stay printed.
func (a *app) invokeStream(ctx context.Context, c *client, endpoint string, i invocation, body []byte) error {
	req, err := i.request(ctx, c, endpoint, "invocations-response-stream", "X-Amzn-SageMaker-Accept", body)
	if err != nil {
		return err
	}
	resp, err := c.send(c.endless(), req, "sagemaker", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		_, err := c.readAnswer(ctx, resp)
		return err
	}
	decoder, buf := eventstream.NewDecoder(), make([]byte, 0, 64<<10)
	for {
		m, err := decoder.Decode(resp.Body, buf)
		switch {
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return failed(exitFailed, "the stream broke off: %v", err).because(err)
		}
		if err := a.printPart(m); err != nil {
			return err
		}
	}
}

// printPart prints one message of a stream; one that is an exception is an error.
func (a *app) printPart(m eventstream.Message) error {
	header := func(name string) string {
		if v := m.Headers.Get(name); v != nil {
			return v.String()
		}
		return ""
	}
	switch header(":message-type") {
	case "exception":
		var e struct{ Message, ErrorCode string }
		_ = json.Unmarshal(m.Payload, &e) // where it is none, the payload is the text
		if e.Message == "" {
			e.Message = string(m.Payload)
		}
		return failed(exitFailed, "%s: %s", header(":exception-type"), e.Message)
	case "error":
		return failed(exitFailed, "%s: %s", header(":error-code"), header(":error-message"))
	}
	if header(":event-type") != "PayloadPart" {
		return nil
	}
	if a.json {
		out := json.NewEncoder(a.Stdout)
		out.SetEscapeHTML(false)
		return out.Encode(toBodyJSON(m.Payload))
	}
	_, err := a.Stdout.Write(m.Payload)
	return err
}
