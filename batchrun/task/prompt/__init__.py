"""`--prompt`: a language model asked about each row, over any OpenAI-compatible server. Read `spec` first.

spec       what the options say, as plain data that travels to the workers
needs      a key and a package: what else there must be
template   cells put into the text
fields     `--fields` as a JSON Schema
asking     one row: render, call, read the answer; runs in workers
client     the one door to the openai library
formats    how a server is told the schema, and what to do when it refuses
answer     from the server's answer to the reply's text, or to a failure with a name
errors     what an error means: for the row, for now, or for the whole run
"""
