"""Browser components: JavaScript and CSS, with one Python file each that says what they take and give."""
