module andon.internal/shared

go 1.26.0

require google.golang.org/protobuf v1.36.12

require (
	github.com/expr-lang/expr v1.17.8 // indirect
	github.com/prometheus/client_golang v1.25.0 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
