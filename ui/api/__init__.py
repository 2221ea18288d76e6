"""What programs call: Gradio's endpoints and MCP, one set of answers behind both."""
