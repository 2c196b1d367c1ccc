"""Where a served answer came from: from the request to the data and the code behind it."""
