package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/daemon"
	"github.com/sagebrush-ml/sagebrush/internal/demo"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// What the demo makes in its server.
const (
	demoBucket  = "diamonds"
	demoJob     = "price-all-diamonds"
	demoImage   = "sagebrush/xgboost:latest"
	demoObjects = 4
)

// demo is the command that shows everything at once.
func (a *app) demo() *cobra.Command {
	var folder string
	var keep bool
	cmd := &cobra.Command{
		Use:     "demo",
		GroupID: "run",
		Short:   "See it work, with real data and a real model",
		Long: `Start a server on a free port, put a public dataset of 53,940 diamonds into its S3, and let an
XGBoost model price them all through CreateTransformJob. The predictions are compared with
those of XGBoost's own library; the exit code is not 0 when they differ.`,
		Example: `  sagebrush demo
  sagebrush demo --keep-serving     # and stay up, to try the AWS CLI or boto3 on it`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context(), folder, keep) },
	}
	cmd.Flags().StringVar(&folder, "data", "", "folder for the server's data, which is kept (default a new temporary one)")
	cmd.Flags().BoolVar(&keep, "keep-serving", false, "serve on until interrupted")
	_ = cmd.MarkFlagDirname("data") // the flag exists
	return cmd
}

// demoResult is what the demo found.
type demoResult struct {
	Job api.JobProgress `json:"job"`
	// Seconds is how long the job took, from its creation to its end.
	Seconds       float64         `json:"seconds"`
	RowsPerSecond float64         `json:"rowsPerSecond"`
	Predictions   demo.Comparison `json:"predictions"`
	Same          bool            `json:"same"`
	URL           string          `json:"url"`
	Data          string          `json:"data"`
}

// runDemo runs the whole demo.
func (a *app) runDemo(ctx context.Context, folder string, keep bool) (err error) {
	data, err := demo.Load()
	if err != nil {
		return err
	}
	if folder == "" {
		if folder, err = os.MkdirTemp("", "sagebrush-demo-"); err != nil {
			return err
		}
	}
	cfg, err := a.load("", map[string]any{"listen": "127.0.0.1:0", "data": folder, "ephemeral": false, "s3": "embedded", "auth": "auto", "log-level": "error"})
	if err != nil {
		return err
	}
	cfg.MaxInstances = max(cfg.MaxInstances, 2)
	s, err := a.start(ctx, daemon.Options{Config: cfg})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	result, predicted, err := a.price(s, data)
	if err != nil {
		return named(err, "")
	}
	if err := a.showDemo(data, predicted, result, keep); err != nil {
		return err
	}
	if !result.Same {
		return failed(exitFailed, "the predictions differ from XGBoost's own by up to %.2g, at row %d", result.Predictions.MaxDifference, result.Predictions.WorstRow)
	}
	if !keep {
		return nil
	}
	<-s.ctx.Done()
	if cause := context.Cause(s.ctx); ctx.Err() == nil {
		return cause
	}
	return nil
}

// price does what a user of an AWS SDK would do: upload, create, wait, download.
func (a *app) price(s *session, data *demo.Dataset) (demoResult, []float64, error) {
	r := demoResult{URL: s.URL, Data: s.daemon.Data()}
	a.err.linef("A server with an S3 of its own runs at %s.", s.URL)
	if err := a.upload(s, data); err != nil {
		return r, nil, err
	}
	a.err.linef("Uploaded %s of diamonds in %d objects to s3://%s/in/, and a model.", size(int64(len(data.Features))), demoObjects, demoBucket)
	end, err := a.runJob(s, demoImage, "s3://"+demoBucket+"/model/model.tar.gz", demoRequest(demoJobName()))
	if err != nil {
		return r, nil, err
	}
	if code := outcome(end.Status); code != exitOK {
		return r, nil, a.explainJob(s.ctx, s.client, end, func(text string) string { return text })
	}
	a.err.linef("CreateTransformJob %s: %s, %s.", end.Name, a.err.status(end.Status), done(end))
	var text []byte
	for i := range demoObjects {
		part, err := s.object(s.ctx, http.MethodGet, fmt.Sprintf("/%s/out/part-%d.csv.out", demoBucket, i+1), nil)
		if err != nil {
			return r, nil, err
		}
		text = append(text, part...)
	}
	predicted, err := demo.Column(text)
	if err != nil {
		return r, nil, failed(exitFailed, "the output is not one number a line: %v", err).because(err)
	}
	r.Predictions, err = data.Compare(predicted)
	r.Same = err == nil && r.Predictions.Same()
	r.Job, r.Seconds = end, elapsed(end, time.Now()).Seconds()
	r.RowsPerSecond = float64(len(predicted)) / r.Seconds
	return r, predicted, err
}

// demoJobName names the job anew in each run, as the folder may be an earlier one's.
func demoJobName() string {
	return demoJob + "-" + strings.ReplaceAll(time.Now().UTC().Format("20060102-150405.000"), ".", "-")
}

// upload makes the bucket and fills it.
func (a *app) upload(s *session, data *demo.Dataset) error {
	r := (*refusal)(nil)
	if _, err := s.object(s.ctx, http.MethodPut, "/"+demoBucket, nil); err != nil && !(errors.As(err, &r) && r.status == http.StatusConflict) {
		return err
	}
	objects := map[string][]byte{"model/model.tar.gz": data.Model}
	for i, part := range data.Split(demoObjects) {
		objects[fmt.Sprintf("in/part-%d.csv", i+1)] = part
	}
	for key, body := range objects {
		if _, err := s.object(s.ctx, http.MethodPut, "/"+demoBucket+"/"+key, body); err != nil {
			return err
		}
	}
	return nil
}

// demoRequest is the job: lines in requests of up to 1 MiB, two instances, and the
// answers joined in the order of the lines.
func demoRequest(job string) *wire.CreateTransformJobInput {
	csv := ptr("text/csv")
	return &wire.CreateTransformJobInput{
		TransformJobName: &job, ModelName: &job,
		BatchStrategy: ptr("MultiRecord"), MaxPayloadInMB: ptr(int32(1)),
		TransformInput: &wire.TransformInput{
			DataSource:  &wire.TransformDataSource{S3DataSource: &wire.TransformS3DataSource{S3DataType: ptr("S3Prefix"), S3Uri: ptr("s3://" + demoBucket + "/in/")}},
			ContentType: csv, SplitType: ptr("Line"),
		},
		TransformOutput:    &wire.TransformOutput{S3OutputPath: ptr("s3://" + demoBucket + "/out/"), Accept: csv, AssembleWith: ptr("Line")},
		TransformResources: &wire.TransformResources{InstanceType: ptr(instanceType), InstanceCount: ptr(int32(2))},
	}
}

// showDemo prints the summary, which fits a terminal of 80 by 24.
func (a *app) showDemo(data *demo.Dataset, predicted []float64, r demoResult, keep bool) error {
	if a.json {
		return a.printJSON(r)
	}
	var held, truth []float64
	for i := range predicted {
		if demo.HeldOut(i) {
			held, truth = append(held, predicted[i]), append(truth, data.Prices[i])
		}
	}
	c := r.Predictions
	var b bytes.Buffer
	fmt.Fprintf(&b, "\n%s diamonds that the model had never seen, predicted against true price:\n", count(int64(c.HeldOutRows)))
	b.WriteString(demo.Plot{Width: 58, Height: 8, X: "price ($)", Y: "model", ASCII: !a.out.unicode}.Density(truth, held))
	b.WriteString(table([][]string{
		{"rows", fmt.Sprintf("%s in %s, %s rows/s with the start of 2 model servers", count(int64(c.Rows)), span(time.Duration(r.Seconds*float64(time.Second))), rate(r.RowsPerSecond))},
		{"R2", fmt.Sprintf("%.4f on the rows held out, typical error $%.0f", c.R2, c.RMSE)},
		{"check", verdict(c)},
		{"files", r.Data + "/s3/" + demoBucket},
	}, nil))
	a.next(&b, r, keep)
	_, err := a.Stdout.Write(b.Bytes())
	return err
}

// verdict compares with XGBoost's own library.
func verdict(c demo.Comparison) string {
	switch {
	case c.Equal == c.Rows:
		return "every prediction is equal to that of XGBoost's own library"
	case c.Same():
		return fmt.Sprintf("as XGBoost's own library predicts, largest relative difference %.1g", c.MaxDifference)
	}
	return fmt.Sprintf("NOT as XGBoost's own library predicts, largest relative difference %.1g", c.MaxDifference)
}

// next says what to type next.
func (a *app) next(b *bytes.Buffer, r demoResult, keep bool) {
	flag := "--data " + quote(r.Data, `'\''`)
	if keep {
		b.WriteString("\nNext, in another terminal:\n")
	} else {
		b.WriteString("\nNext:\n  sagebrush serve " + flag + " &\n")
	}
	fmt.Fprintf(b, "  eval \"$(sagebrush env %s)\"\n  aws s3 ls s3://%s/out/\n", flag, demoBucket)
}
