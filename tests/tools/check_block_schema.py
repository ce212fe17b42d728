"""Checks each block file on standard input, one a line as a JSON string, against the schema.

The answer is one line each: `yes`, or `no` with place and reason. Text that is not JSON is `no` as well.
"""

import json
import sys

import jsonschema


def main(path):
    with open(path, encoding="utf-8") as file:
        schema = json.load(file)
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    checker = validator(schema)
    for line in sys.stdin:
        try:
            document = json.loads(json.loads(line))
        except ValueError as error:
            print("no", error)
            continue
        error = jsonschema.exceptions.best_match(checker.iter_errors(document))
        print("no " + error.json_path + ": " + error.message.replace("\n", " ") if error else "yes")


main(sys.argv[1])
